"""What an order's page tells at a glance, and that neither the node nor what people write can break it."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from lightning.errors import NodeUnavailable
from lightning.types import Outpoint
from orders import actors, money
from orders.admin.page import asking, channel, life, purse
from orders.barring import BanKind
from orders.models import Account, ChannelOrder, HoldInvoice, OrderEvent
from orders.openings import reasons
from orders.operations import banning, giving_up, noting
from orders.queries import order_or_raise
from orders.states import At, InvoiceState
from tests.booking import CLIENT, FEE, LSP, TOTAL, carry
from tests.factories import DepositFactory, OpeningFactory, OrderFactory, SnapshotFactory
from tests.integration.staff import LIST, every_kind, page_of, seen
from tests.refunding import RefundFactory
from tests.scripted import ScriptedNode
from tests.scripted import channel as listed_channel

pytestmark = pytest.mark.django_db


def line_of(order: ChannelOrder) -> list[tuple[str, str]]:
    """Each step and how it stands."""
    whole = order_or_raise(order.pk)
    moves = list(OrderEvent.objects.filter(order=order).order_by("version"))
    return [(step.label, step.stands.value) for step in life.of(whole, moves, timezone.now()).steps]


# Its line of life

WAY = ("Quoted", "Paid", "Claimed", "Opening", "Open")


@pytest.mark.parametrize(
    ("trait", "here"), [("", 0), ("paid_lightning", 1), ("uri_set", 2), ("opening", 3), ("open", 4)]
)
def test_an_order_on_its_way_shows_what_it_came_through_and_what_is_ahead(trait: str, here: int) -> None:
    told = line_of(OrderFactory(**({trait: True} if trait else {})))
    stands = ["done"] * here + ["here"] + ["ahead"] * (4 - here)
    assert told[:5] == list(zip(WAY, stands, strict=True))
    assert told[5:] == ([("Lease ends", "ahead")] if trait == "open" else [])


@pytest.mark.parametrize(
    ("trait", "line", "stands"),
    [
        ("expired", ["Quoted", "Expired"], "over"),
        ("give_up", ["Quoted", "Paid", "Claimed", "Gave up", "Goes back"], "failed"),
        ("refunded", ["Quoted", "Paid", "Refunded"], "over"),
        ("rejected", ["Quoted", "Paid", "Rejected"], "failed"),
        ("closing", [*WAY, "Closing"], "here"),
        ("closed", [*WAY, "Closed"], "over"),
    ],
)
def test_one_that_left_its_way_shows_how_far_it_came_and_how_it_ended(trait: str, line: list[str], stands: str) -> None:
    told = line_of(OrderFactory(**{trait: True}))
    assert [label for label, _ in told] == line
    end = 3 if trait == "give_up" else len(line) - 1
    assert [how for _, how in told[: end + 1]] == ["done"] * end + [stands]


def test_a_channel_that_closed_before_it_was_usable_was_never_open() -> None:
    assert [label for label, _ in line_of(OrderFactory(closed=True, opened_at=None))] == [*WAY[:4], "Closed"]


def test_what_is_tried_again_has_left_its_old_end_behind() -> None:
    order = OrderFactory(uri_set=True)
    giving_up.give_up(order.pk, reason="PEER_NOT_REACHABLE", actor=actors.LSP)
    assert ("Gave up", "failed") in line_of(order)
    giving_up.retry(order.pk, actor=actors.staff("ada"))
    assert [label for label, _ in line_of(order)] == list(WAY)


def test_since_when_it_waits_is_told_by_its_last_move_and_by_its_live_attempt(boss: Client) -> None:
    ago = timezone.now() - timedelta(hours=3)
    order = OrderFactory(uri_set=True)
    OrderEvent.objects.create(order=order, version=1, at=ago, actor="lsp", cause="claimed", to_state="uri_set")
    assert "3 hours" in seen(boss.get(page_of(order)))
    OpeningFactory(order=order, negotiating=True, changed_at=timezone.now() - timedelta(minutes=7))
    assert "7 minutes" in seen(boss.get(page_of(order)))


# Whose money is where


def sums(order: ChannelOrder) -> dict[str, int]:
    """Each sum of the page, in satoshis."""
    holders = purse.of(order_or_raise(order.pk)).holders
    return {part.label: part.msat // 1000 for holder in holders for part in holder.sums}


def test_the_pages_money_is_that_of_the_books_and_of_the_rows() -> None:
    """Of whatever state: what came is held, with us, in the channel, on its way back, or spent, and nothing twice."""
    orders = every_kind()
    carry()
    for order in orders:
        whole, told, books = order_or_raise(order.pk), sums(order), purse.balances(order)
        now = money.of(whole, At.CONFIRMED)
        assert told.get("held by our node", 0) == now.held_sat, order.state
        theirs = ("held by our node", "taken by our node", "in our wallet", "going back on chain", "kept for the buyer")
        came = sum(
            told.get(each, 0) for each in (*theirs, "returned", "cost of sending it", "the buyer's side", "fees earned")
        )
        assert came == purse.of(whole).came_sat, order.state
        assert told.get("our side", 0) * 1000 == books.get(Account.CHANNELS, 0), order.state
        assert sum(books.values()) == 0, order.state


def test_a_delivered_order_shows_both_sides_what_was_earned_and_what_it_cost() -> None:
    order = OrderFactory(open=True)
    carry()
    assert sums(order) == {"our side": LSP, "the buyer's side": CLIENT, "fees earned": FEE, "chain fees": -2_000}


@pytest.mark.parametrize(
    ("trait", "label"), [({"state": "due"}, "going back on chain"), ({"kept": True}, "kept for the buyer")]
)
def test_money_that_goes_back_is_told_by_where_it_is(trait: dict[str, Any], label: str) -> None:
    order = OrderFactory(expired=True)
    RefundFactory(order=order, amount_sat=60_000, **trait)
    carry()
    assert sums(order) == {label: 60_000}


def test_what_sending_money_back_costs_is_the_buyers_and_none_of_ours() -> None:
    order = OrderFactory(expired=True)
    RefundFactory(order=order, amount_sat=60_000, state="done", published=True, refunded_at=timezone.now())
    carry()
    assert sums(order) == {"returned": 59_700, "cost of sending it": 300}


def test_a_deposit_in_no_block_is_on_its_way_and_in_no_book() -> None:
    order = OrderFactory()
    DepositFactory(order=order, unconfirmed=True, amount_sat=20_000)
    carry()
    told = purse.of(order_or_raise(order.pk))
    assert sums(order) == {"on its way on chain": 20_000}
    assert (told.came_sat, told.missing_sat) == (20_000, TOTAL - 20_000)


def test_what_came_too_much_is_said(boss: Client) -> None:
    order = OrderFactory(paid_onchain=True, deposits__amount_sat=TOTAL + 700)
    assert "Too much 700" in seen(boss.get(page_of(order)))


def test_the_price_is_the_fees_alone_and_the_total_is_what_is_to_be_paid(boss: Client) -> None:
    order = OrderFactory(open=True)
    order.openings.update(surplus_sat=300)
    page = seen(boss.get(page_of(order)))
    assert f"Total to pay {TOTAL:,} Added to the channel 300" in page
    assert f"{FEE:,} sat = 1,000 base" in page and f"{TOTAL:,} sat = {FEE:,} price + {CLIENT:,} pushed" in page
    fees = re.search(r"Price: ([\d,]+) sat", page)
    assert fees is not None and fees[1] == f"{FEE:,}", "what a client of the API reads as `price`"


def test_nobody_waits_for_money_of_an_order_that_is_over(boss: Client) -> None:
    assert "Missing" not in seen(boss.get(page_of(OrderFactory(expired=True))))
    assert f"Missing {TOTAL:,}" in seen(boss.get(page_of(OrderFactory())))


# The channel as the node sees it


@pytest.fixture
def lnd(monkeypatch: pytest.MonkeyPatch) -> ScriptedNode:
    node = ScriptedNode()
    monkeypatch.setattr("lightning.connection.node", lambda: node)
    return node


def on_the_node(lnd: ScriptedNode, order: ChannelOrder, **more: Any) -> None:
    lnd.open.append(listed_channel(Outpoint.parse(order.openings.get().funding_outpoint), order, **more))


def test_balances_activity_and_what_is_left_of_the_lease_are_the_nodes(boss: Client, lnd: ScriptedNode) -> None:
    SnapshotFactory()
    order = OrderFactory(open=True)
    on_the_node(lnd, order)
    page = seen(boss.get(page_of(order)))
    assert "Channel now active" in page
    assert "1,000,000 sat ours 50,000 sat the buyer's" in page
    assert "Lease: 41 days left, 6,049 blocks" in page
    lnd.open.clear()
    on_the_node(lnd, order, active=False)
    assert "Channel now not active" in seen(boss.get(page_of(order)))


@pytest.mark.parametrize(("blocks", "days", "is_over"), [(0, 0, True), (1, 0, False), (0, 1, False), (-5, 1, False)])
def test_a_lease_is_said_to_be_over_when_both_its_blocks_and_its_time_are(
    boss: Client, lnd: ScriptedNode, blocks: int, days: int, is_over: bool
) -> None:
    seen_now = SnapshotFactory()
    ends_at = timezone.now() + timedelta(days=days, minutes=5 if days else -5)
    order = OrderFactory(open=True, lease_ends_height=seen_now.block_height + blocks, lease_ends_at=ends_at)
    on_the_node(lnd, order)
    page = seen(boss.get(page_of(order)))
    assert ("lease over" in page) == is_over
    assert is_over or f"left, {max(0, blocks)} blocks" in page


def test_the_uptime_is_told_once_the_node_has_watched(boss: Client, lnd: ScriptedNode) -> None:
    order = OrderFactory(open=True)
    on_the_node(lnd, order)
    lnd.open[0] = replace(lnd.open[0], watched_seconds=3 * 86_400, online_seconds=2 * 86_400)
    assert "its peer was there 66 % of the 3 days since the node watches" in seen(boss.get(page_of(order)))


def test_one_call_is_made_for_a_channel_and_none_where_there_is_none(boss: Client, lnd: ScriptedNode) -> None:
    for order in (OrderFactory(), OrderFactory(uri_set=True), OrderFactory(closed=True), OrderFactory(give_up=True)):
        seen(boss.get(page_of(order)))
    assert lnd.calls == []
    seen(boss.get(page_of(OrderFactory(open=True))))
    assert lnd.calls.count("channels_with") == 1


@pytest.mark.parametrize("fault", [NodeUnavailable("down"), RuntimeError("a defect")])
def test_a_node_that_fails_makes_no_page_fail(boss: Client, lnd: ScriptedNode, fault: Exception) -> None:
    lnd.fails = fault
    page = seen(boss.get(page_of(OrderFactory(open=True))))
    assert "How it stands is not known: the" in page and "down" not in page and "a defect" not in page


def test_a_channel_that_the_node_does_not_list_is_said_to_be_so(boss: Client, lnd: ScriptedNode) -> None:
    page = seen(boss.get(page_of(OrderFactory(opening=True))))
    assert "not known: the node does not list it among its open channels" in page


def test_a_node_that_hangs_makes_no_page_hang(boss: Client, lnd: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(channel, "PATIENCE_SECONDS", 0.2)
    lnd.on_call = lambda name: released.wait(20)
    order, began = OrderFactory(open=True), time.monotonic()
    try:
        for _ in range(asking.AT_ONCE):
            assert "has not answered within 0.2 s" in seen(boss.get(page_of(order)))
        assert "slow to answer, and others wait" in seen(boss.get(page_of(order)))
        assert time.monotonic() - began < 10
    finally:
        released.set()
    until = time.monotonic() + 10
    while asking._turns._value < asking.AT_ONCE and time.monotonic() < until:
        time.sleep(0.02)
    assert asking._turns._value == asking.AT_ONCE, "a turn is given back when the node answers after all"


# Attempts, and links outside


def test_every_reason_has_its_meaning_and_the_words_of_the_peer_stand_beside_it(boss: Client) -> None:
    assert set(reasons.MEANS) == reasons.FINAL | reasons.PASSING
    order = OrderFactory(uri_set=True)
    OpeningFactory(order=order, failed=True, failure_reason="FEE_RATE_REJECTED", failure_detail="fee <b>too</b> low")
    answer = boss.get(page_of(order))
    assert reasons.MEANS["FEE_RATE_REJECTED"] in seen(answer)
    assert "fee &lt;b&gt;too&lt;/b&gt; low" in answer.content.decode()


def links_out(page: str) -> list[str]:
    return [link for link in re.findall(r"<a [^>]*>", page) if "https://" in link]


def test_without_an_explorer_nothing_leads_outside(boss: Client) -> None:
    assert links_out(boss.get(page_of(OrderFactory(closed=True))).content.decode()) == []


def test_explorers_are_linked_and_learn_nothing_of_the_page(boss: Client, settings: Any) -> None:
    settings.BLOCK_EXPLORER_URL = "https://chain.example/tx/{txid}"
    settings.NODE_EXPLORER_URL = "https://nodes.example/{pubkey}"
    order = OrderFactory(closed=True)
    DepositFactory(order=order)
    sent = RefundFactory(order=order, published=True)
    page = boss.get(page_of(order)).content.decode()
    opening, deposit = order.openings.get(), order.onchain_payments.get()
    for txid in (opening.transaction.txid, order.closing_txid, deposit.txid, sent.transaction.txid):
        assert f'href="https://chain.example/tx/{txid}"' in page
    assert f'href="https://nodes.example/{order.node_pubkey}"' in page
    assert all('rel="noreferrer noopener"' in link and 'target="_blank"' in link for link in links_out(page))
    assert not re.findall(r'(?:src|action)="https?://', page)


def test_the_page_asks_the_database_no_more_for_many_notes_and_moves(
    boss: Client, django_assert_max_num_queries: Any
) -> None:
    order = OrderFactory(open=True)
    noting.write(order.pk, "one", actor=actors.staff("ada"))
    carry()
    seen(boss.get(page_of(order)))  # the first of a minute writes when the session was used last
    with django_assert_max_num_queries(28) as few:
        seen(boss.get(page_of(order)))
    for number in range(6):
        noting.write(order.pk, f"number {number}", actor=actors.staff("ada"))
    with django_assert_max_num_queries(len(few.captured_queries)):
        seen(boss.get(page_of(order)))


def test_a_settled_payment_that_bought_nothing_is_not_called_held() -> None:
    order = OrderFactory(give_up=True)
    HoldInvoice.objects.filter(order=order).update(state=InvoiceState.SETTLED)
    carry()
    assert sums(order) == {"taken by our node": TOTAL}


# Ways from one page to another


def test_what_belongs_to_an_order_is_a_click_away(boss: Client) -> None:
    order = OrderFactory(closed=True)
    deposit, sent = DepositFactory(order=order), RefundFactory(order=order, published=True)
    opening = order.openings.get()
    page = boss.get(page_of(order)).content.decode()
    records = {
        "onchainpayment": deposit,
        "refund": sent,
        "channelopening": opening,
        "holdinvoice": order.hold_invoice,
        "wallettransaction": opening.transaction,
        "service": order.service,
    }
    for name, row in records.items():
        where = f"/admin/orders/{name}/{row.pk}/change/"
        assert f'href="{where}"' in page, name
        back = boss.get(where).content.decode()
        assert page_of(order) in back or name == "service", f"{name} leads back"
    assert f"{LIST}?service__id__exact={order.service_id}" in boss.get("/admin/orders/service/").content.decode()


def test_a_node_that_is_not_served_is_said_so_and_its_line_leads_to_its_orders(boss: Client) -> None:
    order = OrderFactory(open=True)
    ban = banning.add(BanKind.NODE, order.node_pubkey, reason="spam", actor=actors.staff("ada"))
    page = boss.get(page_of(order))
    assert "is not served" in seen(page) and f"/admin/orders/ban/{ban.pk}/change/" in page.content.decode()
    line = boss.get(f"/admin/orders/ban/{ban.pk}/change/").content.decode()
    assert f"{LIST}?q={order.node_pubkey}" in line
