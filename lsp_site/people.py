"""Accounts and groups in the admin. What is changed of them is on the trail; rights are given by who has them all."""

from __future__ import annotations

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import models, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from lsp_site import factors
from orders import actors, trail
from orders.admin.changes import RecordedAdmin
from orders.admin.moments import NamedMoment
from orders.admin.shown import mark
from orders.models import AuditKind

_RIGHTS = ("is_superuser", "groups", "user_permissions")
_SELECTOR = "orders/selector.js"


class StaffGroupAdmin(RecordedAdmin, GroupAdmin):
    """Groups: who may change one gives everybody in it whatever they like, so superusers do."""

    recorded = AuditKind.GROUP

    class Media:
        js = [_SELECTOR]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Superusers."""
        return _is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Superusers."""
        return _is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Superusers."""
        return _is_superuser(request)


class StaffAdmin(RecordedAdmin, UserAdmin):
    """Accounts. Who is no superuser neither changes one nor makes anybody more than they were."""

    recorded = AuditKind.PERSON
    unrecorded = ("password", "last_login")
    list_display = ["username", "email", "factor", "is_staff", "is_superuser", "last_login"]
    list_select_related = ["second_factor"]
    actions = ["reset_factor"]
    formfield_overrides = {models.DateTimeField: {"form_class": forms.SplitDateTimeField, "widget": NamedMoment}}

    class Media:
        css = {"all": ["orders/admin.css"]}
        js = [_SELECTOR]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        """Rights, for who is no superuser."""
        fields = list(super().get_readonly_fields(request, obj))
        return fields if _is_superuser(request) else [*fields, *_RIGHTS]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Somebody's password is their rights."""
        return super().has_change_permission(request, obj) and (_is_superuser(request) or not _is_higher(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """The same."""
        return super().has_delete_permission(request, obj) and (_is_superuser(request) or not _is_higher(request, obj))

    def has_reset_permission(self, request: HttpRequest) -> bool:
        """Who resets a factor needs a password alone to be that person."""
        return _is_superuser(request)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Set anew by somebody else, who is on the trail for it."""
        answer = super().user_change_password(request, id, form_url)
        if request.method == "POST" and answer.status_code == 302:
            name = User.objects.filter(pk=id).values_list("username", flat=True).first()
            trail.add(AuditKind.PASSWORD, f"set the password of {name} anew", actor=actors.person(request.user))
        return answer

    @admin.action(description="Reset the second factor: they enrol anew", permissions=["reset"])
    def reset_factor(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        """They have none, and are logged in nowhere."""
        for user in chosen:
            reset_factor(user, actor=actors.person(request.user))
            messages.success(request, f"{user} has no second factor any more, and is logged in nowhere.")

    @admin.display(description="second factor")
    def factor(self, user: User) -> SafeString:
        """Enrolled or not."""
        return mark("enrolled", "good") if factors.is_enrolled(user) else mark("none", "bad")


def reset_factor(user: User, *, actor: actors.Authority) -> bool:
    """The person has no second factor and no session, and the trail says by whom. Returns whether there was one."""
    with transaction.atomic():
        had = factors.reset(user)
        words = f"reset the second factor of {user.get_username()}"
        trail.add(AuditKind.FACTOR, words if had else f"{words}, who had none", actor=actor)
    return had


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


def _is_higher(request: HttpRequest, user: User | None) -> bool:
    """They may do what whoever asks may not, or might once they are active again."""
    return user is not None and not (
        user.is_active and user.get_all_permissions() <= request.user.get_all_permissions()
    )
