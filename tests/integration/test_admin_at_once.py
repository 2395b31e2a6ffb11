"""Two of staff save the same at one moment: the second reads why his was not saved, whatever the form."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import IntegrityError
from django.db.models import Model
from django.http import HttpRequest
from django.test import Client
from django.utils import timezone

from orders import actors
from orders.barring import BanKind
from orders.errors import NotPossible
from orders.models import Ban, Coupon, TokenPattern
from orders.operations import banning
from tests.factories import pubkey

pytestmark = pytest.mark.django_db

BOB = actors.staff("bob")
PASSWORD = "a-long-one-of-no-use"
FORM: dict[str, Any] = {"kind": "node", "value": pubkey(5), "reason": "a court", "until_0": "", "until_1": ""}
COLLIDED = "Somebody else has saved the same at this moment"


def words(answer: Any) -> str:
    return answer.content.decode()


def test_of_two_who_list_one_node_the_second_is_told_that_it_is_listed(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form has looked, and the other one's is committed before this one's is written."""
    read = banning.read_reason

    def slowly(text: str) -> str:
        monkeypatch.setattr(banning, "read_reason", read)
        banning.add(BanKind.NODE, pubkey(5), reason="a court", actor=BOB)
        return read(text)

    monkeypatch.setattr(banning, "read_reason", slowly)
    answer = boss.post("/admin/orders/ban/add/", FORM, follow=True)
    assert answer.status_code == 200 and "This is listed already." in words(answer)


def test_the_database_has_the_last_word_and_it_is_said_as_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    create = Ban.objects.create

    def rivalled(**given: Any) -> Ban:
        monkeypatch.setattr(Ban.objects, "create", create)
        create(**given | {"created_by": str(BOB)})
        return create(**given)

    monkeypatch.setattr(Ban.objects, "create", rivalled)
    with pytest.raises(NotPossible, match="listed already"):
        banning.add(BanKind.NODE, pubkey(5), reason="a court", actor=BOB)


def test_what_has_ended_by_itself_is_no_rival(boss: Client) -> None:
    ban = banning.add(BanKind.NODE, pubkey(5), reason="x", until=timezone.now() + timedelta(days=1), actor=BOB)
    Ban.objects.filter(pk=ban.pk).update(until=timezone.now() - timedelta(days=1))
    answer = boss.post("/admin/orders/ban/add/", FORM, follow=True)
    assert answer.status_code == 200 and Ban.objects.count() == 2


@pytest.mark.parametrize(
    ("model", "path", "posted"),
    [
        (
            User,
            "/admin/auth/user/add/",
            {"username": "carol", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"},
        ),
        (Group, "/admin/auth/group/add/", {"name": "carol"}),
        (Coupon, "/admin/orders/coupon/add/", {"code": "carol-2026", "discount_percent": "5"}),
        (TokenPattern, "/admin/orders/tokenpattern/add/", {"pattern": "carol/*"}),
    ],
)
def test_a_name_that_another_takes_at_this_moment_is_no_error_of_ours(
    boss: Client, monkeypatch: pytest.MonkeyPatch, model: type[Model], path: str, posted: dict[str, Any]
) -> None:
    page = admin.site.get_model_admin(model)
    save = type(page).save_model

    def rivalled(self: Any, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        name = next(iter(posted))
        type(obj)._default_manager.create(**{name: posted[name]})
        save(self, request, obj, form, change)

    monkeypatch.setattr(type(page), "save_model", rivalled)
    answer = boss.post(path, posted, follow=True)
    assert answer.status_code == 200 and COLLIDED in words(answer)


def test_control_another_fault_of_the_database_is_no_collision(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise IntegrityError("a defect of ours")

    monkeypatch.setattr(type(admin.site.get_model_admin(Group)), "save_model", broken)
    with pytest.raises(IntegrityError):
        boss.post("/admin/auth/group/add/", {"name": "carol"})


def test_every_form_that_adds_a_row_with_something_unique_is_known_here() -> None:
    """One more form: see that whoever is second reads a sentence."""

    def is_unique(model: type[Model]) -> bool:
        fields = [field for field in model._meta.fields if field.unique and not field.primary_key]
        return bool(fields or model._meta.total_unique_constraints or model._meta.unique_together or _partly(model))

    request = HttpRequest()
    request.user = User(is_superuser=True, is_active=True)
    adding = {
        model
        for model in apps.get_models()
        if admin.site.is_registered(model) and admin.site.get_model_admin(model).has_add_permission(request)
    }
    assert {model.__name__ for model in adding if is_unique(model)} == {
        "Ban", "User", "Group", "Coupon", "TokenPattern",
    }  # fmt: skip


def _partly(model: type[Model]) -> list[Any]:
    return [each for each in model._meta.constraints if type(each).__name__ == "UniqueConstraint"]
