"""Each role at each address: who looks moves nothing, whatever they ask, and nobody has more than the table says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver
from django.utils import timezone

from lsp_site import roles
from lsp_site.roles import RIGHTS, Role
from orders import actors, trail
from orders.admin.deeds import DEEDS as ALL_DEEDS
from orders.causes import FlagKind
from orders.models import (
    Alert,
    AlertMute,
    AlertRules,
    AuditKind,
    Ban,
    BooksCheck,
    ChannelOrder,
    Coupon,
    DryRun,
    IdempotencyKey,
    JitPart,
    JitPurchase,
    Service,
    SwitchEvent,
    TokenPattern,
    WakeUp,
    WakeUpMethod,
    Webhook,
)
from orders.reconcile import beat
from tests.booking import carry
from tests.factories import DepositFactory, FlagFactory, OpeningFactory, ServiceFactory, SnapshotFactory
from tests.fakes import FakeNode
from tests.integration.roles_table import ACTIONS, DEEDS, MODELS, NONE, PAGES, ROLES
from tests.integration.staff import LIST, STEER, browser, every_kind, page_of
from tests.refunding import RefundFactory

pytestmark = pytest.mark.django_db

#: What a request may leave behind, whoever asks.
TRACES: Final = {"django_session", "orders_auditentry", "orders_requestcount"}
CHANGING: Final = ("post", "put", "patch", "delete")
#: A page by its link, what changes something, and a method that no page is made for; in the long run all the others.
QUICK: Final = ("get", "post", "delete")
ALL: Final = ("get", "head", "options", *CHANGING)


@pytest.fixture
def shop(node: FakeNode) -> list[ChannelOrder]:
    """A row of each model that the admin shows."""
    SnapshotFactory()
    orders = every_kind()
    for order in orders:
        DepositFactory(order=order)
        OpeningFactory(order=order, failed=True)
    carry()
    for order in orders[:3]:
        FlagFactory(order=order, kind=FlagKind.DOUBLE_SPENT)
    RefundFactory(kept=True)
    RefundFactory(proposed=True)
    now = timezone.now()
    IdempotencyKey.objects.create(key_hash="a" * 64, body_hash="b" * 64, created_at=now, order=orders[0])
    SwitchEvent.objects.create(name="sales", on=False, at=now, actor="lsp", reason="x")
    Alert.objects.create(key="check:x", message="x", since=now)
    AlertMute.objects.create(kind="check:x", reason="x", made_at=now, made_by="x", until=now.replace(year=2099))
    AlertRules.objects.get_or_create(pk=1)
    Ban.objects.create(kind="node", value="02" * 33, reason="x", created_at=now, created_by="x")
    BooksCheck.objects.get_or_create(at=now, adds_up=True, defaults={"words": "x"})
    ServiceFactory(description="unused")
    Coupon.objects.create(code="PARTNER-2026")
    TokenPattern.objects.get_or_create(pattern="Zeus/*")
    asked = {"capacity_sat": 100_000, "push_sat": 0, "announced": False, "begun_at": now}
    DryRun.objects.create(node_pubkey="02" * 33, pending_chan_id=b"x", **asked)
    size = {"min_payment_size_msat": 1, "max_payment_size_msat": 9, "min_fee_msat": 1, "proportional_ppm": 1}
    terms = {"min_lifetime_blocks": 1, "max_client_to_self_delay": 1, "cltv_expiry_delta": 1, "client_trusts_lsp": True}
    bought = JitPurchase.objects.create(
        service=orders[0].service, node_pubkey="02" * 33, scid="16050000x1x1", created_at=now, valid_until=now,
        **size, **terms,
    )  # fmt: skip
    JitPart.objects.create(
        purchase=bought, chan_id="1", htlc_id=1, payment_hash="ab" * 32, incoming_msat=1, incoming_expiry=1,
        outgoing_msat=1, outgoing_expiry=1, auto_fail_height=1, heard_at=now,
    )  # fmt: skip
    hook = Webhook.objects.create(
        node_pubkey="02" * 33, app_name="x", url="https://a.example/", set_at=now, needed_at=now, looked_at=now
    )
    WakeUp.objects.create(webhook=hook, method=WakeUpMethod.PAYMENT, created_at=now, next_at=now)
    beat("reconcile")
    trail.add(AuditKind.LOGIN, "logged in", actor=actors.staff("x"))
    return orders


def member(role: str) -> User:
    """An account that has what its group gives, and nothing else."""
    roles.give(apps)
    if role == "boss":
        return User.objects.create_superuser(role)
    user = User.objects.create_user(role, is_staff=True)
    if role != "nobody":
        user.groups.add(Group.objects.get(name=role))
    return user


def patterns(found: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """The name and the route of each address."""
    for each in found:
        if isinstance(each, URLResolver):
            yield from patterns(each.url_patterns, before + str(each.pattern))
        elif isinstance(each, URLPattern):
            yield str(each.name), before + str(each.pattern)


@cache
def addresses() -> dict[str, str]:
    """All of the admin's, but for those that lead to another of them."""
    return {name: route for name, route in patterns(admin.site.get_urls()) if name != "None"}


def an_object(label: str) -> Any:
    """The row whose page is asked for; of orders its reference stands in the address."""
    if label == "orders.channelorder":
        return page_of(ChannelOrder.objects.order_by("created_at").first()).split("/")[-3]
    if label == "orders.service":
        return Service.objects.get(description="unused").pk
    row = apps.get_model(label)._base_manager.order_by("pk").first()
    assert row is not None, f"the shop has no {label}"
    return row.pk


def path_of(route: str, label: str = "") -> str:
    path = route.replace("^(?P<app_label>orders|auth)/$", "orders/")
    path = path.replace("<id>", str(User.objects.order_by("pk").values_list("pk", flat=True)[0]))
    return "/admin/" + (path.replace("<path:object_id>", str(an_object(label))) if label else path)


@cache
def of_models() -> dict[tuple[str, str], str]:
    """By model and what is done."""
    kinds = ("changelist", "add", "history", "delete", "change")
    found = {}
    for model in admin.site._registry:
        label = model._meta.label_lower
        for kind in kinds:
            found[label, kind] = f"{label.replace('.', '_')}_{kind}"
    return found


def is_refused(answer: Any) -> bool:
    """Nothing of it was shown or done."""
    return answer.status_code in {403, 404, 405} or "/admin/login/" in answer.headers.get("Location", "")


def rows() -> dict[str, str]:
    """What each table has, in short."""
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)} - TRACES
    every = (
        f"SELECT '{table}', md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t"
        for table in sorted(tables)
    )
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(every))
        return dict(cursor.fetchall())


# The table is whole


def test_each_address_is_in_the_table() -> None:
    told = {*PAGES, *of_models().values()}
    assert set(addresses()) == told
    assert {model._meta.label_lower for model in admin.site._registry} == set(MODELS)


def test_each_deed_is_in_the_table() -> None:
    assert set(DEEDS) == set(ALL_DEEDS)


# The groups


def test_the_groups_have_what_they_are_to_have_and_no_more(db: None) -> None:
    for role in Role:
        member(role)
        held = {f"{p.content_type.app_label}.{p.codename}" for p in Group.objects.get(name=role).permissions.all()}
        declared = {f"{p.content_type.app_label}.{p.codename}" for p in Permission.objects.all()}
        assert held == {name for name in declared if roles._is_among(name, RIGHTS[role])}, role
    viewer = Group.objects.get(name=Role.VIEWER).permissions.exclude(codename__startswith="view_")
    assert not viewer.exists()


def test_giving_again_changes_nothing_and_takes_nothing_away(db: None) -> None:
    member("viewer")
    own = Permission.objects.get(codename="add_ban")
    Group.objects.get(name="viewer").permissions.add(own)
    before = {group.name: set(group.permissions.all()) for group in Group.objects.all()}
    roles.give(apps)
    assert {group.name: set(group.permissions.all()) for group in Group.objects.all()} == before


def test_what_is_new_is_given_alone(db: None) -> None:
    member("manager")
    group = Group.objects.get(name="manager")
    group.permissions.remove(*Permission.objects.filter(codename__in=["add_ban", "change_service"]))
    roles.give(apps, "orders.add_ban")
    assert set(group.permissions.filter(codename__in=["add_ban", "change_service"])) == {
        Permission.objects.get(codename="add_ban")
    }


# Each cell


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_the_pages_of_rows_that_the_table_says(shop: list[ChannelOrder], role: str) -> None:
    client = browser(member(role))
    for label, (sees, adds, changes, deletes) in MODELS.items():
        kinds = ("changelist", "add", "change", "delete")
        named = {kind: path_of(addresses()[of_models()[label, kind]], label) for kind in kinds}
        cells = [
            ("get", named["changelist"], role in sees),
            ("get", named["change"], role in sees),
            ("get", named["add"], role in adds),
            ("post", named["add"], role in adds),
            ("post", named["change"], role in changes),
            ("get", named["delete"], role in deletes),
        ]
        for method, path, may in cells:
            answer = getattr(client, method)(path)
            assert is_refused(answer) is not may, f"{role} {method} {path}: {answer.status_code}"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_the_other_pages_that_the_table_says(shop: list[ChannelOrder], role: str) -> None:
    user = member(role)
    for name, (gets, posts) in PAGES.items():
        path = path_of(addresses()[name])
        for method, may in (("get", role in gets), ("post", role in posts)):
            answer = getattr(browser(user), method)(path)
            assert is_refused(answer) is not may or _is_no_page(name, method, answer), f"{role} {method} {path}"


def _is_no_page(name: str, method: str, answer: Any) -> bool:
    """Some take one method only, and the first page of applications is empty for who has none."""
    only = {"logout": "post", "second_factor_codes": "post", "second_factor_remove": "post"}
    return (only.get(name, method) != method and answer.status_code == 405) or (
        name == "app_list" and answer.status_code == 404
    )


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_offered_the_actions_that_the_table_says(shop: list[ChannelOrder], role: str) -> None:
    request = RequestFactory().get("/admin/")
    request.user = member(role)
    offered = {
        (model._meta.label_lower, action)
        for model, its in admin.site._registry.items()
        for action in its.get_actions(request)
        if its.has_view_permission(request)
    }
    assert offered == {cell for cell, may in ACTIONS.items() if role in may}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_does_the_deeds_that_the_table_says(shop: list[ChannelOrder], role: str) -> None:
    client = browser(member(role))
    for name, may in DEEDS.items():
        for sure in ({}, {"sure": "yes"}):
            order = {"deed": name, "order": [str(shop[0].pk)], "typed": "because", **sure}
            answer = client.post(STEER, order)
            assert is_refused(answer) is (role not in may), f"{role} {name}: {answer.status_code}"


# Who looks moves nothing


def temptations(shop: list[ChannelOrder]) -> dict[str, Any]:
    """A body that would do whatever its address can do."""
    ids = [str(order.pk) for order in shop]
    return {
        "order": ids, "sure": "yes", "typed": "because", "post": "yes", "_save": "Save", "confirm": "yes",
        "name": "x", "username": "mallory", "password1": "Quietly7Walks", "password2": "Quietly7Walks",
        "kind": "node", "value": "03" * 33, "reason": "because", "until_0": "2099-01-01", "until_1": "00:00",
        "description": "x", "position": 0, "min_channel_sat": 100_000, "max_channel_sat": 1_000_000, "on_sale": "on",
        "max_client_balance_sat": 500_000, "min_expiry_blocks": 1_008, "max_expiry_blocks": 12_096,
        "accepts_lightning": "on", "base_fee_sat": 1_000, "rate_ppm_per_1008_blocks": 500, "minimum_fee_sat": 2_000,
        "quiet_from": "22:00", "quiet_until": "23:00", "zone": "UTC", "switch": "openings", "state": "refunded",
        "channel": "", "proof": "x", "code": "00000000", "is_superuser": "on", "is_staff": "on", "is_active": "on",
        "discount_percent": 5, "pattern": "x", "jit_minimum_fee_sat": 2_500, "jit_rate_ppm": 4_000,
        "jit_min_payment_sat": 10_000, "jit_max_payment_sat": 400_000, "jit_size_percent": 200,
        "jit_cushion_sat": 20_000, "jit_lifetime_blocks": 4_320,
    }  # fmt: skip


def every_way(client: Client, shop: list[ChannelOrder], methods: tuple[str, ...]) -> Iterator[str]:
    """Each address by these methods, with all that could do something there. Yields the address, after it was asked."""
    body = temptations(shop)
    labels = {name: label for (label, _), name in of_models().items()}
    asked = [(name, labels.get(name, ""), route) for name, route in addresses().items()]
    asked.sort(key=lambda each: each[2].startswith("auth/"))  # last: there accounts are deleted, its own among them
    for name, label, path in [(name, label, path_of(route, label)) for name, label, route in asked]:
        if name in {"logout", "login"}:
            continue
        for method in methods:
            if method == "post":
                for more in _more(name, label, shop):
                    client.post(path, {**body, **more} if "action" not in more else {**more, "post": "yes"})
            else:
                client.generic(method.upper(), path, "a=1", content_type="application/x-www-form-urlencoded")
        yield path


def _more(name: str, label: str, shop: list[ChannelOrder]) -> list[dict[str, Any]]:
    """What is to be done there: each deed, each action."""
    if name == "orders_channelorder_steer":
        return [{"deed": deed} for deed in ALL_DEEDS]
    if not name.endswith("_changelist"):
        return [{}]
    chosen = [str(shop[0].pk if label == "orders.channelorder" else an_object(label))]
    return [{"action": act, "_selected_action": chosen} for model, act in ACTIONS if model == label] or [{}]


#: Of nobody's rights, and of all methods, in the long run.
WALKS = [("viewer", QUICK), *(pytest.param(role, ALL, marks=pytest.mark.long) for role in ("nobody", "viewer"))]


@pytest.mark.parametrize(("role", "methods"), WALKS, ids=("viewer", "nobody-all", "viewer-all"))
def test_who_only_looks_changes_no_row_by_any_address_or_method(
    shop: list[ChannelOrder], role: str, methods: tuple[str, ...]
) -> None:
    client = browser(member(role))
    before = rows()
    for asked in every_way(client, shop, methods):
        now = rows()
        assert now == before, f"{asked}: {[table for table in now if now[table] != before[table]]}"


def test_control_who_may_do_all_changes_rows_on_the_same_way(shop: list[ChannelOrder]) -> None:
    """So the walk above asks what would do something."""
    client = browser(member("boss"))
    touched: set[str] = set()
    before = rows()
    for path in every_way(client, shop, CHANGING[:1]):
        if path.startswith("/admin/auth/"):
            break  # where accounts are deleted, its own among them
        now = rows()
        touched |= {table for table in now if now[table] != before[table]}
        before = now
    moved = {"channelorder", "service", "coupon", "tokenpattern", "ban", "alertmute", "flag"}
    assert {f"orders_{table}" for table in moved} <= touched


def test_a_file_is_taken_by_who_sees_its_rows_and_the_trail_has_it(shop: list[ChannelOrder]) -> None:
    asked = {"action": "as_csv", "_selected_action": [an_object("orders.entry")]}
    assert browser(member("nobody")).post("/admin/orders/entry/", asked).status_code == 403
    answer = browser(member("viewer")).post("/admin/orders/entry/", asked)
    assert answer["Content-Disposition"].startswith("attachment")
    from orders.models import AuditEntry

    entry = AuditEntry.objects.get(kind=AuditKind.EXPORT)
    assert (entry.person, entry.facts["page"]) == ("viewer", "/admin/orders/entry/")


def test_who_is_no_superuser_makes_nobody_more_than_they_were(shop: list[ChannelOrder]) -> None:
    """Also with rights over accounts, which no group has."""
    boss = member("boss")
    eve = User.objects.create_user("eve", is_staff=True)
    eve.user_permissions.set(Permission.objects.filter(content_type__app_label="auth"))
    client = browser(eve)
    form = {"username": "eve", "is_active": "on", "is_staff": "on", "is_superuser": "on", "groups": []}
    client.post(f"/admin/auth/user/{eve.pk}/change/", {**form, "user_permissions": [1, 2, 3]})
    eve.refresh_from_db()
    assert (
        not eve.is_superuser
        and eve.user_permissions.count() == Permission.objects.filter(content_type__app_label="auth").count()
    )
    new = {"password1": "Quietly7Walks", "password2": "Quietly7Walks", "usable_password": "true"}
    resting = User.objects.create_superuser("resting", is_active=False)
    for higher in (boss, member("manager"), resting):
        assert client.post(f"/admin/auth/user/{higher.pk}/password/", new).status_code == 403
        assert client.post(f"/admin/auth/user/{higher.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"/admin/auth/user/{member('nobody').pk}/password/").status_code == 200
    assert client.post("/admin/auth/group/add/", {"name": "x"}).status_code == 403
    client.post("/admin/auth/user/", {"action": "delete_selected", "_selected_action": boss.pk, "post": "yes"})
    assert User.objects.filter(pk=boss.pk).exists() and NONE == ()
    assert client.get(LIST).status_code == 403
