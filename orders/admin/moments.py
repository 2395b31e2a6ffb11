"""A moment that is typed: its day and its time, each with a name for who hears the page and does not see it."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.widgets import AdminSplitDateTime


class NamedMoment(AdminSplitDateTime):
    """Two fields for one moment."""

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """As Django's, and each part says which it is."""
        context: dict[str, Any] = super().get_context(name, value, attrs)
        for part, called in zip(context["widget"]["subwidgets"], ("Date", "Time"), strict=True):
            part["attrs"]["aria-label"] = called
        return context
