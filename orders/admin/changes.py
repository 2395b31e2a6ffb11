"""What staff change by a form is on the trail, with what was before and what is now, in the form's transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from orders import trail
from orders.admin.steering import acting
from orders.models import AuditKind

_PLAIN: Final = (int, str, bool, type(None))


def told(row: Model, but: Iterable[str]) -> dict[str, Any]:
    """The row as the database has it now, its own fields and the names of what it refers to many of."""
    stored = type(row)._base_manager.filter(pk=row.pk).first()
    if stored is None:
        return {}
    fields = [field for field in stored._meta.concrete_fields if field.name not in but]
    many = {field.name: sorted(map(str, getattr(stored, field.name).all())) for field in stored._meta.many_to_many}
    return {field.name: _plain(getattr(stored, field.attname)) for field in fields} | many


def _plain(value: Any) -> Any:
    return value if isinstance(value, _PLAIN) else str(value)


class RecordedAdmin(admin.ModelAdmin):
    """A model that staff edit."""

    recorded: ClassVar[AuditKind]
    #: What is no setting, or no one's business.
    unrecorded: ClassVar[tuple[str, ...]] = ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Saved, and what it was is known to `save_related`."""
        form.before = told(obj, self.unrecorded) if change else {}
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """All of it is saved: there is a line, if anything is not as it was."""
        super().save_related(request, form, formsets, change)
        row = form.instance
        changed = trail.differences(form.before, told(row, self.unrecorded))
        if changed:
            self._note(request, row, "changed" if change else "added", changed)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Gone, and on the trail as it was."""
        self._note_deleted(request, obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """The same of several."""
        for row in queryset:
            self._note_deleted(request, row)
        super().delete_queryset(request, queryset)

    def _note_deleted(self, request: HttpRequest, row: Any) -> None:
        self._note(request, row, "deleted", trail.differences(told(row, self.unrecorded), {}))

    def _note(self, request: HttpRequest, row: Any, what: str, changed: dict[str, Any]) -> None:
        words = f"{row._meta.verbose_name} {row} {what}"
        trail.add(self.recorded, words, actor=acting(request), facts=changed)
