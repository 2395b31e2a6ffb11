"""The node or the refund address of an order is listed as one that we do not serve, from the order's page."""

from __future__ import annotations

import pytest
from django.test import Client

from lightning.transactions import address_script
from orders import actors
from orders.barring import BanKind
from orders.models import Ban
from orders.operations import banning
from tests.factories import OrderFactory
from tests.fakes import regtest_address
from tests.integration.staff import STEER, browser, do, page_of, seen, staff

pytestmark = pytest.mark.django_db


def test_the_node_of_an_order_is_listed_from_its_page_after_it_was_said_whose_money_goes_back(boss: Client) -> None:
    order = OrderFactory(uri_set=True)
    other = OrderFactory(uri_set=True, node_pubkey=order.node_pubkey)
    asked = do(boss, "ban_node", order, typed="He sends spam.")
    assert "2 paid orders wait with it: given up at once" in asked
    assert f"{2 * order.order_total_sat:,} sat that the node holds go back" in asked
    assert not Ban.objects.exists()
    assert "Its node is served no more: " in do(boss, "ban_node", order, typed="He sends spam.", sure="yes")
    ban = Ban.objects.get()
    assert (ban.kind, ban.value, ban.reason, ban.created_by) == (
        "node",
        order.node_pubkey,
        "He sends spam.",
        "staff:alice",
    )
    for each in (order, other):
        each.refresh_from_db()
        assert each.due_at is not None, "its own look does what follows"
    assert 'value="ban_node"' not in boss.get(page_of(order)).content.decode()


def test_so_is_its_refund_address_in_whatever_letters_it_was_said(boss: Client) -> None:
    order = OrderFactory(open=True, refund_address=regtest_address(8).upper())
    do(boss, "ban_address", order, typed="Stolen coins.", sure="yes")
    assert Ban.objects.get().value == regtest_address(8)
    page = boss.get(page_of(order))
    assert "is not served any more" in seen(page) and 'value="ban_address"' not in page.content.decode()


def test_who_paid_an_order_is_listed_by_the_addresses_of_the_coins_that_did(boss: Client) -> None:
    payers = [regtest_address(number) for number in (41, 42)]
    order = OrderFactory(paid_onchain=True, deposits__payers=[*map(address_script, payers), "6a"])
    banning.add(BanKind.PAYER, payers[0], reason="known", actor=actors.staff("ada"))
    asked = do(boss, "ban_payers", order, typed="Stolen coins.")
    assert f"Payer's address {payers[1]}: What these addresses pay on chain buys nothing" in asked
    assert "1 paid order waits with it" in asked and f"{order.order_total_sat:,} sat that came on chain" in asked
    do(boss, "ban_payers", order, typed="Stolen coins.", sure="yes")
    assert set(Ban.objects.filter(kind="payer").values_list("value", flat=True)) == set(payers)
    assert 'value="ban_payers"' not in boss.get(page_of(order)).content.decode()


def test_who_may_steer_orders_and_not_add_bans_lists_nobody() -> None:
    client = browser(staff("sam", "change_channelorder"))
    order = OrderFactory(uri_set=True)
    assert 'value="ban_node"' not in client.get(page_of(order)).content.decode()
    form = {"deed": "ban_node", "order": order.pk, "typed": "spam", "sure": "yes"}
    assert client.post(STEER, form).status_code == 403
    assert not Ban.objects.exists()


def test_an_order_without_a_node_offers_none_to_list(boss: Client) -> None:
    order = OrderFactory()
    assert 'value="ban_' not in boss.get(page_of(order)).content.decode()
    assert "The order has no node" in do(boss, "ban_node", order, typed="spam", sure="yes")
