"""What staff see of the server, and what they sell."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from orders.models import Heartbeat, Service
from orders.reconcile import beat
from orders.states import Firmness
from tests.factories import OrderFactory, ServiceFactory, SnapshotFactory
from tests.integration.staff import browser, seen, staff

pytestmark = pytest.mark.django_db


# Services


def service_form(**changes: Any) -> dict[str, Any]:
    numbers = {
        "description": "Channels",
        "on_sale": "on",
        "position": 0,
        "min_channel_sat": 100_000,
        "max_channel_sat": 1_000_000,
        "max_client_balance_sat": 500_000,
        "min_expiry_blocks": 1_008,
        "max_expiry_blocks": 12_096,
        "accepts_lightning": "on",
        "after_lease": "leave",
        "preflight": "warn",
        "base_fee_sat": 1_000,
        "rate_ppm_per_1008_blocks": 500,
        "minimum_fee_sat": 2_000,
        "jit_minimum_fee_sat": 2_500,
        "jit_rate_ppm": 4_000,
        "jit_min_payment_sat": 10_000,
        "jit_max_payment_sat": 400_000,
        "jit_size_percent": 200,
        "jit_cushion_sat": 20_000,
        "jit_lifetime_blocks": 4_320,
    }
    return {name: value for name, value in {**numbers, **changes}.items() if value is not None}


def test_a_service_is_added_and_changed(boss: Client) -> None:
    boss.post("/admin/orders/service/add/", service_form(description="Large"))
    service = Service.objects.get(description="Large")
    boss.post(f"/admin/orders/service/{service.pk}/change/", service_form(description="Larger", base_fee_sat=5))
    service.refresh_from_db()
    assert (service.description, service.base_fee_sat) == ("Larger", 5)


def test_a_new_service_is_made_like_an_old_one_which_stays_as_it_is(boss: Client) -> None:
    old = ServiceFactory(description="Large", base_fee_sat=777, max_channel_sat=900_000)
    before = Service.objects.filter(pk=old.pk).values().get()
    assert (
        f"/admin/orders/service/add/?copy={old.pk}"
        in boss.get(f"/admin/orders/service/{old.pk}/change/").content.decode()
    )
    asked = boss.get("/admin/orders/service/add/", {"copy": str(old.pk)})
    initial = asked.context["adminform"].form.initial
    assert (initial["base_fee_sat"], initial["max_channel_sat"], initial["on_sale"]) == (777, 900_000, False)
    assert "A copy of Large, and not on sale until you say so." in seen(asked)
    posted = service_form(description=initial["description"], base_fee_sat=initial["base_fee_sat"], on_sale=None)
    boss.post(f"/admin/orders/service/add/?copy={old.pk}", posted)
    new = Service.objects.get(description="Large (copy)")
    assert (new.base_fee_sat, new.on_sale, new.pk == old.pk) == (777, False, False)
    assert Service.objects.filter(pk=old.pk).values().get() == before


def test_what_is_no_service_is_copied_by_nobody(boss: Client) -> None:
    for name in ("", "x", "0" * 32):
        assert boss.get("/admin/orders/service/add/", {"copy": name}).context["copied"] is None
    old = ServiceFactory(description="Secret offer")
    stranger = browser(staff("sue", "add_service"))
    assert "Secret offer" not in seen(stranger.get("/admin/orders/service/add/", {"copy": str(old.pk)}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"min_channel_sat": 2_000_000}, "not be less than the smallest channel (2,000,000)"),
        ({"min_expiry_blocks": 13_104}, "not be less than the shortest term (13,104)"),
        ({"accepts_lightning": None}, "Accept Lightning or on-chain payments, or both."),
        ({"minimum_fee_sat": 0}, "greater than or equal to 1"),
        ({"max_channel_sat": 10**30}, "less than or equal to"),
        ({"base_fee_sat": -1}, "greater than or equal to 0"),
        ({"min_expiry_blocks": "many"}, "Enter a whole number."),
        ({"min_expiry_blocks": 12}, "greater than or equal to 1008"),
    ],
)
def test_a_service_that_makes_no_sense_is_told_beside_its_field(
    boss: Client, changes: dict[str, Any], said: str
) -> None:
    before = Service.objects.count()
    page = seen(boss.post("/admin/orders/service/add/", service_form(**changes)))
    assert said in page and "is violated" not in page
    assert Service.objects.count() == before


def test_a_service_goes_only_while_no_order_has_it(boss: Client) -> None:
    used, unused = ServiceFactory(description="Used"), ServiceFactory(description="Unused")
    OrderFactory(service=used)
    assert "Delete" not in seen(boss.get(f"/admin/orders/service/{used.pk}/change/"))
    for service in (used, unused):
        boss.post(f"/admin/orders/service/{service.pk}/delete/", {"post": "yes"})
    boss.post("/admin/orders/service/", {"action": "delete_selected", "_selected_action": used.pk, "post": "yes"})
    assert set(Service.objects.filter(pk__in=[used.pk, unused.pk])) == {used}


# The first page


def test_the_first_page_says_what_can_be_sold(boss: Client) -> None:
    SnapshotFactory(alias="our node", spendable_sat=50_000_000, required_reserve_sat=10_000)
    OrderFactory(uri_set=True, lsp_balance_sat=1_000_000, client_balance_sat=0, open_fee_sat=2_000)
    page = seen(boss.get("/admin/"))
    assert "our node" in page and "not reached" not in page
    assert "48,988,000 to sell now" in page
    assert "1,002,000 promised" in page


def test_the_node_as_seen_says_which_coins_sell_what_and_which_sell_nothing(boss: Client) -> None:
    aside = {"nested": [2, 700_000], "foreign": [1, 5_000_000]}
    sizes = [3_000_000, 2_000_000, 10_000]
    row = SnapshotFactory(spendable_sat=5_010_000, coin_sizes=sizes, coins_aside=aside, required_reserve_sat=0)
    OrderFactory(
        uri_set=True,
        lsp_balance_sat=2_990_000,
        client_balance_sat=0,
        open_fee_sat=10_000,
        reservation__firmness=Firmness.REACHED,
    )
    page = seen(boss.get(f"/admin/orders/nodesnapshot/{row.pk}/change/"))
    assert "3,000,000, 2,000,000, 10,000 sat" in page
    assert "nested 2, 700,000 sat" in page and "foreign 1, 5,000,000 sat" in page
    assert "largest channel to sell now 2,007,6" in page  # with the two coins that the order leaves


def test_a_node_that_was_not_seen_for_long_is_an_alarm(boss: Client, settings: Any) -> None:
    long_ago = timezone.now() - timedelta(seconds=settings.SNAPSHOT_MAX_AGE_SECONDS + 60)
    SnapshotFactory(at=long_ago, synced_to_chain=False)
    page = seen(boss.get("/admin/"))
    assert "not reached" in page and "not synced" in page


def test_a_server_without_a_node_has_a_first_page_too(boss: Client) -> None:
    page = seen(boss.get("/admin/"))
    assert "never seen" in page and "has never reported" in page


def test_a_process_that_fell_silent_is_an_alarm(boss: Client, settings: Any) -> None:
    beat("reconcile"), beat("streams")
    silent = timezone.now() - timedelta(seconds=settings.HEARTBEAT_STALE_SECONDS + 1)
    Heartbeat.objects.filter(name="streams").update(at=silent)
    page = boss.get("/admin/").content.decode()
    assert re.findall(r"lsp-mark (lsp-\w+)\">(web|worker|streams)<", page) == [
        ("lsp-good", "web"),
        ("lsp-good", "worker"),
        ("lsp-alarm", "streams"),
    ]


def test_the_first_page_counts_what_waits_for_a_person(boss: Client) -> None:
    OrderFactory(flagged=True), OrderFactory(give_up=True)
    page = seen(boss.get("/admin/"))
    assert "1 need a person" in page and "1 given up" in page


def test_staff_who_may_not_see_orders_see_no_figures() -> None:
    client = browser(staff("eve"))
    SnapshotFactory()
    assert "to sell now" not in seen(client.get("/admin/"))
