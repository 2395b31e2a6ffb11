"""Closing and extending by the buttons of an order's page: who may, what is asked twice, what is said of the money."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from orders.models import ChannelClosing, ChannelOrder, Service
from tests.closing import HEIGHT, ClosingNode, sold
from tests.factories import SnapshotFactory
from tests.integration.staff import page_of

pytestmark = pytest.mark.django_db(transaction=True)

STEER = "/admin/orders/channelorder/steer/"
DEEDS = [
    "close_channel",
    "force_channel",
    "override_lease",
    "override_lease_by_force",
    "withdraw_close",
    "extend_lease",
]


@pytest.fixture
def node() -> ClosingNode:
    SnapshotFactory(block_height=HEIGHT)
    return ClosingNode()


def staff(*permissions: str) -> Client:
    """Somebody who may steer orders, and has these rights besides."""
    user = User.objects.create_user("olga", password="x", is_staff=True)
    named = ["view_channelorder", "change_channelorder", *permissions]
    user.user_permissions.set(Permission.objects.filter(codename__in=named))
    client = Client()
    client.force_login(user, backend="lsp_site.logins.StaffBackend")
    return client


def offered(client: Client, order: ChannelOrder) -> list[str]:
    return [
        name
        for name in re.findall(r'name="deed" value="(\w+)"', client.get(page_of(order)).content.decode())
        if name in DEEDS
    ]


def post(client: Client, order: ChannelOrder, deed: str, *typed: str, **more: str) -> Any:
    return client.post(STEER, {"deed": deed, "order": str(order.pk), "typed": list(typed), "back": "/admin/", **more})


def test_the_page_offers_what_fits_and_what_the_person_may(node: ClosingNode, boss: Client) -> None:
    over, lasts = sold(node), sold(node, weeks_ago=2)
    assert offered(boss, over) == ["close_channel", "force_channel", "extend_lease"]
    assert offered(boss, lasts) == ["override_lease", "override_lease_by_force", "extend_lease"]
    operator = staff("close_channel", "extend_lease")
    assert offered(operator, over) == ["close_channel", "extend_lease"]
    assert offered(operator, lasts) == ["extend_lease"]


@pytest.mark.parametrize(
    ("deed", "right"),
    [
        ("close_channel", "close_channel"),
        ("force_channel", "force_close_channel"),
        ("override_lease", "override_lease"),
        ("override_lease_by_force", "override_lease"),
        ("extend_lease", "extend_lease"),
    ],
)
def test_without_its_right_a_deed_is_refused_however_it_is_posted(node: ClosingNode, deed: str, right: str) -> None:
    order = sold(node, weeks_ago=2 if "override" in deed else 7)
    everything = {"close_channel", "force_close_channel", "override_lease", "extend_lease"}
    client = staff(*everything - {right})
    before = order.lease_ends_at
    typed = ("7", "A reason.") if deed == "extend_lease" else ("A reason.",)
    assert post(client, order, deed, *typed, sure="yes", second="yes").status_code == 403
    assert post(client, order, deed).status_code == 403
    order.refresh_from_db()
    assert not ChannelClosing.objects.exists() and order.lease_ends_at == before


def test_a_close_asks_for_a_reason_and_says_what_happens_to_whose_money(node: ClosingNode, boss: Client) -> None:
    order = sold(node)
    assert 'name="typed"' in post(boss, order, "close_channel").content.decode()
    page = post(boss, order, "close_channel", "Its lease is over.").content.decode()
    assert "comes back to our wallet" in page and "paid to him on chain" in page and 'name="sure"' in page
    assert not ChannelClosing.objects.exists()
    post(boss, order, "close_channel", "Its lease is over.", sure="yes")
    row = ChannelClosing.objects.get()
    assert (row.kind, row.reason, row.overrides_lease) == ("together", "Its lease is over.", False)
    assert row.actor.startswith("staff:")


@pytest.mark.parametrize("deed", ["force_channel", "override_lease_by_force"])
def test_by_force_only_who_confirms_twice(node: ClosingNode, boss: Client, deed: str) -> None:
    order = sold(node, weeks_ago=2 if "override" in deed else 7)
    page = post(boss, order, deed, "He is gone.").content.decode()
    assert 'type="checkbox" name="second"' in page
    again = post(boss, order, deed, "He is gone.", sure="yes")  # not ticked
    assert 'name="second"' in again.content.decode() and not ChannelClosing.objects.exists()
    post(boss, order, deed, "He is gone.", sure="yes", second="yes")
    row = ChannelClosing.objects.get()
    assert (row.kind, row.overrides_lease) == ("forced", "override" in deed)


def test_who_overrides_a_lease_reads_that_it_is_promised_and_what_follows(node: ClosingNode, boss: Client) -> None:
    order = sold(node, weeks_ago=2)
    page = post(boss, order, "override_lease", "A court asks for it.").content.decode()
    assert f"The buyer has paid {order.fee_total_sat:,} sat" in page and "refund of what he has not had" in page


@pytest.mark.parametrize("typed", [(), ("",), ("0", "Why."), ("x", "Why."), ("7", "  "), ("7",)])
def test_a_lease_is_extended_by_whole_days_and_for_a_reason(
    node: ClosingNode, boss: Client, typed: tuple[str, ...]
) -> None:
    order = sold(node)
    post(boss, order, "extend_lease", *typed, sure="yes")
    order.refresh_from_db()
    assert order.lease_gift_blocks == 0


def test_an_extension_says_until_when_and_is_kept_with_the_persons_name(node: ClosingNode, boss: Client) -> None:
    order = sold(node, weeks_ago=2)
    page = post(boss, order, "extend_lease", "14", "We were <down>.").content.decode()
    assert "The channel is promised until" in page and "We were &lt;down&gt;." in page
    assert re.findall(r'type="hidden" name="typed" value="([^"]*)"', page) == ["14", "We were &lt;down&gt;."]
    post(boss, order, "extend_lease", "14", "We were <down>.", sure="yes")
    order.refresh_from_db()
    assert order.lease_gift_blocks == 14 * 144
    shown = boss.get(page_of(order)).content.decode()
    assert "2,016 blocks (2 weeks)" in shown and "lease extended" in shown


def test_a_close_that_waits_is_shown_and_taken_back(node: ClosingNode, boss: Client) -> None:
    order = sold(node)
    post(boss, order, "close_channel", "Its lease is over.", sure="yes")
    page = boss.get(page_of(order)).content.decode()
    assert "for its channel to be closed, with its peer" in page and "Its lease is over." in page
    assert offered(boss, order) == ["force_channel", "withdraw_close", "extend_lease"]
    post(boss, order, "withdraw_close", sure="yes")
    assert ChannelClosing.objects.get().state == "withdrawn"


def test_a_service_says_what_becomes_of_its_channels_and_promises_both_or_neither(
    boss: Client, node: ClosingNode
) -> None:
    sold(node)
    service = Service.objects.get()
    url = f"/admin/orders/service/{service.pk}/change/"
    fields = {
        name: value
        for name, value in boss.get(url).context["adminform"].form.initial.items()
        if value is not None and value is not False
    }
    answer = boss.post(url, {**fields, "after_lease": "close", "most_routing_base_msat": "1000"})
    assert "Promise both, or neither." in answer.content.decode()
    assert (
        boss.post(
            url, {**fields, "after_lease": "close", "most_routing_base_msat": "0", "most_routing_ppm": "0"}
        ).status_code
        == 302
    )
    service.refresh_from_db()
    assert (service.after_lease, service.most_routing_base_msat, service.most_routing_ppm) == ("close", 0, 0)
