"""lsps1.get_order over REST: one order, read at both doors in every state. Numbers are docs/conformance.md's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from orders.models import ChannelOrder, HoldInvoice, NodeSnapshot, OnchainPayment, Refund
from orders.states import DepositState, InvoiceState, OpeningState, OrderState, RefundState
from tests.factories import DepositFactory, OrderFactory, TransactionFactory, pubkey
from tests.fakes import FakeNode, regtest_address
from tests.integration.conftest import Api
from tests.integration.lsps1 import NOT_FOUND, ORDER, ROOTS, Wallet, refused

EXPECT, HOLD, PAID, REFUNDED = "EXPECT_PAYMENT", "HOLD", "PAID", "REFUNDED"


@pytest.fixture
def wallet(db: None, node: FakeNode, snapshot: NodeSnapshot) -> Wallet:
    return Wallet()


def sent_back(order: ChannelOrder, **given: Any) -> Refund:
    return Refund.objects.create(
        order=order,
        **{
            "amount_sat": order.order_total_sat,
            "ends_order": True,
            "cause": "never_claimed",
            "state": RefundState.DONE,
            "address": regtest_address(9),
            "fee_sat": 200,
            "transaction": TransactionFactory(kind="refund", label=f"refund:{order.pk}"),
            "created_at": timezone.now(),
            "refunded_at": timezone.now(),
            **given,
        },
    )


def order_refunded_on_chain(**given: Any) -> ChannelOrder:
    order: ChannelOrder = OrderFactory(paid_onchain=True, state=OrderState.REFUNDED, **given)
    sent_back(order)
    return order


def order_underpaid_and_expired() -> ChannelOrder:
    order: ChannelOrder = OrderFactory(expired=True, underpaid=True)
    DepositFactory(order=order, amount_sat=1_000)
    return order


def order_paid_twice() -> ChannelOrder:
    """By Lightning, which counts; the deposit went back."""
    order: ChannelOrder = OrderFactory(open=True)
    sent_back(order, amount_sat=DepositFactory(order=order).amount_sat, ends_order=False)
    return order


def order_with_a_surplus_sent_back() -> ChannelOrder:
    order: ChannelOrder = OrderFactory(open=True, counted_payment="onchain")
    OnchainPayment.objects.update(amount_sat=order.order_total_sat + 40_000)
    sent_back(order, amount_sat=40_000, ends_order=False)
    return order


def order_whose_deposit_was_taken_back() -> ChannelOrder:
    order: ChannelOrder = OrderFactory(paid_onchain=True)
    OnchainPayment.objects.update(state=DepositState.SEEN, block_height=None, confirmations=0)
    return order


def order_settled_and_refunded() -> ChannelOrder:
    """The channel was there and is no more; what was settled went back on chain."""
    order: ChannelOrder = OrderFactory(refunded=True, invoice__state=InvoiceState.SETTLED)
    sent_back(order)
    return order


#: What it is, (v1's number, its name), order_state, bolt11's and the address's payment, whether there is a channel.
STATES: list[tuple[str, Callable[[], ChannelOrder], tuple[int, str], str, str, str, bool]] = [
    ("quoted", OrderFactory, (0, "CREATED"), "CREATED", EXPECT, EXPECT, False),
    ("held", lambda: OrderFactory(paid_lightning=True), (100, "PAID"), "CREATED", HOLD, EXPECT, False),
    ("counted on chain", lambda: OrderFactory(paid_onchain=True), (100, "PAID"), "CREATED", EXPECT, PAID, False),
    ("taken back", order_whose_deposit_was_taken_back, (100, "PAID"), "CREATED", EXPECT, EXPECT, False),
    ("claimed", lambda: OrderFactory(uri_set=True), (200, "URI_SET"), "CREATED", HOLD, EXPECT, False),
    (
        "claimed, paid on chain",
        lambda: OrderFactory(uri_set=True, counted_payment="onchain"),
        (200, "URI_SET"),
        "CREATED",
        EXPECT,
        PAID,
        False,
    ),
    (
        "signed, and not with the network yet",
        lambda: OrderFactory(opening=True, attempts__state=OpeningState.PUBLISHING, invoice__state=InvoiceState.HELD),
        (300, "OPENING"),
        "CREATED",
        HOLD,
        EXPECT,
        False,
    ),
    (
        "published, and not settled yet",
        lambda: OrderFactory(opening=True, invoice__state=InvoiceState.HELD),
        (300, "OPENING"),
        "COMPLETED",
        HOLD,
        EXPECT,
        True,
    ),
    ("published", lambda: OrderFactory(opening=True), (300, "OPENING"), "COMPLETED", PAID, EXPECT, True),
    ("active", lambda: OrderFactory(open=True), (500, "OPEN"), "COMPLETED", PAID, EXPECT, True),
    (
        "active, paid on chain",
        lambda: OrderFactory(open=True, counted_payment="onchain"),
        (500, "OPEN"),
        "COMPLETED",
        EXPECT,
        PAID,
        True,
    ),
    ("paid twice", order_paid_twice, (500, "OPEN"), "COMPLETED", PAID, REFUNDED, True),
    ("surplus back", order_with_a_surplus_sent_back, (500, "OPEN"), "COMPLETED", EXPECT, PAID, True),
    ("closing", lambda: OrderFactory(closing=True), (350, "CLOSING"), "COMPLETED", PAID, EXPECT, True),
    ("closed", lambda: OrderFactory(closed=True), (450, "CLOSED"), "COMPLETED", PAID, EXPECT, True),
    (
        "never was",
        lambda: OrderFactory(closed=True, attempts__failed=True, attempts__state=OpeningState.FAILED),
        (450, "CLOSED"),
        "FAILED",
        PAID,
        EXPECT,
        False,
    ),
    ("gave up", lambda: OrderFactory(give_up=True), (400, "GIVE_UP"), "FAILED", HOLD, EXPECT, False),
    (
        "gave up, being returned",
        lambda: OrderFactory(give_up=True, invoice__state=InvoiceState.RETURNING),
        (400, "GIVE_UP"),
        "FAILED",
        HOLD,
        EXPECT,
        False,
    ),
    (
        "gave up, paid on chain",
        lambda: OrderFactory(give_up=True, counted_payment="onchain"),
        (400, "GIVE_UP"),
        "FAILED",
        EXPECT,
        PAID,
        False,
    ),
    ("refunded", lambda: OrderFactory(refunded=True), (150, "REFUNDED"), "FAILED", REFUNDED, EXPECT, False),
    ("refunded on chain", order_refunded_on_chain, (150, "REFUNDED"), "FAILED", EXPECT, REFUNDED, False),
    ("settled, refunded", order_settled_and_refunded, (150, "REFUNDED"), "FAILED", REFUNDED, EXPECT, False),
    ("expired", lambda: OrderFactory(expired=True), (410, "EXPIRED"), "FAILED", EXPECT, EXPECT, False),
    ("expired, underpaid", order_underpaid_and_expired, (410, "EXPIRED"), "FAILED", EXPECT, EXPECT, False),
    ("rejected", lambda: OrderFactory(rejected=True), (450, "REJECTED"), "FAILED", EXPECT, PAID, False),
]


@pytest.mark.parametrize(("what", "make", "v1", "order_state", "bolt11", "onchain", "has_channel"), STATES)
def test_the_table_of_states_is_as_told_at_both_doors(
    wallet: Wallet,
    what: str,
    make: Callable[[], ChannelOrder],
    v1: tuple[int, str],
    order_state: str,
    bolt11: str,
    onchain: str,
    has_channel: bool,
) -> None:
    order = make()
    first = Api().get("/channel/order", {"order_id": str(order.pk)}).said
    said = wallet.get_order(order.pk).said
    assert (first["state"], first["state_name"]) == v1
    assert said["order_state"] == order_state
    assert said["payment"]["bolt11"]["state"] == bolt11
    assert said["payment"]["onchain"]["state"] == onchain
    assert (said["channel"] is not None) is has_channel
    same_facts(first, said)


def test_every_state_is_in_the_table() -> None:
    assert {name for _, _, (_, name), *_ in STATES} == {state.name for state in OrderState}


def same_facts(first: dict[str, Any], said: dict[str, Any]) -> None:
    """What both doors tell is the same."""
    payment, channel = said["payment"], said["channel"]
    assert said["order_id"] == first["order_id"]
    assert int(said["lsp_balance_sat"]) == first["local_balance"]
    assert int(said["client_balance_sat"]) == first["remote_balance"]
    assert said["channel_expiry_blocks"] // 1008 == first["channel_expiry"]
    assert milliseconds(said["created_at"]) == first["created_at"]
    assert said["announce_channel"] is not first["private_channel"]
    assert (payment.get("bolt11") or {}).get("invoice") == first["ln_invoice"]
    assert (payment.get("onchain") or {}).get("address") == first["btc_address"]
    for way in (payment[name] for name in ("bolt11", "onchain") if name in payment):
        assert (int(way["fee_total_sat"]), int(way["order_total_sat"])) == (first["price"], first["total_amount"])
        assert milliseconds(way["expires_at"]) == first["order_expiry"]
    if payment.get("bolt11", {}).get("state") == HOLD:
        assert first["payment_held"]
    if channel is not None:
        funding = first["channel_open_tx"]
        assert channel["funding_outpoint"] == f"{funding['transaction_id']}:{funding['transaction_vout']}"
        assert milliseconds(channel["expires_at"]) >= first["channel_expiry_ts"]


def milliseconds(text: str) -> int:
    at = datetime.fromisoformat(text)
    assert at.tzinfo is not None and text.endswith("Z") and len(text) == len("2026-01-01T00:00:00.000Z")
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


class TestOneScenarioAtBothDoors:
    """An order of one door is read, claimed and paid as any other: equal facts at each step."""

    def steps(self, order_id: str) -> None:
        for change in (self.nothing, self.held, self.claimed, self.published, self.active):
            change(ChannelOrder.objects.get(pk=order_id))
            first = Api().get("/channel/order", {"order_id": order_id}).said
            for root in ROOTS:
                same_facts(first, Wallet(root).get_order(order_id).said)

    def test_one_that_came_by_lsps1(self, wallet: Wallet) -> None:
        made = wallet.create_order().said
        first = Api().get("/channel/order", {"order_id": made["order_id"]}).said
        same_facts(first, made)
        assert first["remote_node"]["public_key"] == ORDER["public_key"]
        self.steps(made["order_id"])

    def test_one_that_came_by_the_first_door(self, api: Api) -> None:
        made = api.buy(node_uri=pubkey(4), private=False).said
        self.steps(made["order_id"])
        said = Wallet().get_order(made["order_id"]).said
        assert (said["required_channel_confirmations"], said["funding_confirms_within_blocks"]) == (1, 3)
        assert (said["token"], said["payment"]["onchain"]["refund_onchain_address"]) == ("", None)

    def nothing(self, order: ChannelOrder) -> None:
        pass

    def held(self, order: ChannelOrder) -> None:
        HoldInvoice.objects.filter(order=order).update(
            state=InvoiceState.HELD, held_sat=order.order_total_sat, held_at=timezone.now()
        )
        ChannelOrder.objects.update(state=OrderState.PAID, counted_payment="lightning", paid_at=timezone.now())

    def claimed(self, order: ChannelOrder) -> None:
        ChannelOrder.objects.update(state=OrderState.URI_SET, claimed_at=timezone.now())

    def published(self, order: ChannelOrder) -> None:
        from tests.factories import OpeningFactory

        ChannelOrder.objects.update(state=OrderState.OPENING)
        OpeningFactory(order=order, announced=order.is_announced)

    def active(self, order: ChannelOrder) -> None:
        starts, term = timezone.now(), timedelta(minutes=10 * order.channel_expiry_blocks)
        order.openings.update(state=OpeningState.CONFIRMED)
        HoldInvoice.objects.update(state=InvoiceState.SETTLED, settled_at=starts)
        ChannelOrder.objects.update(
            state=OrderState.OPEN, opened_at=starts, lease_starts_at=starts, lease_ends_at=starts + term
        )


def test_l0_25_a_channel_is_told_by_its_outpoint(wallet: Wallet) -> None:
    said = wallet.get_order(OrderFactory(open=True).pk).said
    txid, _, index = said["channel"]["funding_outpoint"].partition(":")
    assert len(txid) == 64 and index.isdecimal()


def test_l0_24_times_are_utc_with_three_decimals(wallet: Wallet) -> None:
    at = datetime(2026, 3, 1, 12, 30, 5, 999_999, tzinfo=UTC)
    said = wallet.get_order(OrderFactory(created_at=at).pk).said
    assert said["created_at"] == "2026-03-01T12:30:05.999Z"
    order = OrderFactory(created_at=at.replace(microsecond=0))
    assert wallet.get_order(order.pk).said["created_at"] == "2026-03-01T12:30:05.000Z"


def test_l0_33_letters_stand_for_themselves(wallet: Wallet, settings: Any) -> None:
    settings.WALLET_TOKENS = ("*",)
    answer = wallet.create_order(token="größe ✓")
    assert "größe ✓".encode() in answer.content


@pytest.mark.parametrize("order_id", ["x", "0" * 24, str(uuid4()), "", "\x00", "a" * 9_000])
@pytest.mark.parametrize("root", ROOTS)
def test_l1_30_of_what_there_is_not_it_says_so(wallet: Wallet, root: str, order_id: str) -> None:
    answer = Wallet(root).get_order(order_id)
    assert (answer.status_code, refused(answer)) == (404, (NOT_FOUND, "order_id"))


def test_l1_30_32_it_is_told_as_it_was_made_however_often(wallet: Wallet) -> None:
    made = wallet.create_order().said
    assert wallet.get_order(made["order_id"]).said == made == wallet.get_order(made["order_id"].upper()).said


def test_l1_51_a_feerate_is_told_only_where_unconfirmed_deposits_may_count(wallet: Wallet) -> None:
    order = OrderFactory(client_balance_sat=0)
    onchain = wallet.get_order(order.pk).said["payment"]["onchain"]
    assert (onchain["min_onchain_payment_confirmations"], onchain["min_fee_for_0conf"]) == (1, None)
    ChannelOrder.objects.update(zero_conf_satvbyte=12)
    onchain = wallet.get_order(order.pk).said["payment"]["onchain"]
    assert (onchain["min_onchain_payment_confirmations"], onchain["min_fee_for_0conf"]) == (0, 3_000)


def test_l1_51_what_is_pushed_asks_for_more_depth_and_that_is_told(wallet: Wallet) -> None:
    order = OrderFactory(lsp_balance_sat=12_000_000, client_balance_sat=10_000_000)
    assert wallet.get_order(order.pk).said["payment"]["onchain"]["min_onchain_payment_confirmations"] == 3


def test_l1_23_no_confirmations_are_told_as_none(wallet: Wallet) -> None:
    order = OrderFactory(required_channel_confirmations=0, funding_confirms_within_blocks=6, door="lsps1_rest")
    assert wallet.get_order(order.pk).said["required_channel_confirmations"] == 0


def test_l1_78_the_channel_is_told_once_the_network_has_its_funding(wallet: Wallet) -> None:
    order = OrderFactory(opening=True, attempts__state=OpeningState.PUBLISHING, invoice__state=InvoiceState.HELD)
    assert wallet.get_order(order.pk).said["channel"] is None
    order.openings.update(state=OpeningState.PUBLISHED)
    published_at = order.openings.get().transaction.published_at
    channel = wallet.get_order(order.pk).said["channel"]
    assert milliseconds(channel["funded_at"]) == int(published_at.timestamp() * 1000)


def test_l1_79_it_is_promised_for_its_whole_term_from_when_it_was_funded_whatever_a_blocks_clock_says(
    wallet: Wallet,
) -> None:
    order = OrderFactory(open=True)
    term = timedelta(minutes=10 * order.channel_expiry_blocks)
    for minutes in (-50, 0, 50):
        starts = timezone.now() + timedelta(minutes=minutes)
        ChannelOrder.objects.update(lease_starts_at=starts, lease_ends_at=starts + term)
        channel = wallet.get_order(order.pk).said["channel"]
        promised = milliseconds(channel["expires_at"]) - milliseconds(channel["funded_at"])
        assert promised >= term / timedelta(milliseconds=1)
        assert milliseconds(channel["expires_at"]) == int((starts + term).timestamp() * 1000)
    ChannelOrder.objects.update(lease_starts_at=None, lease_ends_at=None)
    channel = wallet.get_order(order.pk).said["channel"]
    assert milliseconds(channel["expires_at"]) - milliseconds(channel["funded_at"]) == term / timedelta(milliseconds=1)


def test_reading_takes_a_fixed_number_of_statements(wallet: Wallet, django_assert_max_num_queries: Any) -> None:
    order = OrderFactory(open=True)
    with django_assert_max_num_queries(6):
        wallet.get_order(order.pk)
