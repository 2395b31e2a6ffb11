"""An order that is paid by a deposit in no block: what is taken, within which bounds, and what clients read."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from chain.packages import Package, Paid
from lightning.transactions import address_script
from lightning.types import Outpoint, TxOutput
from orders import actors, flags, money, serving, wire
from orders.admission import rules
from orders.api.serializers import ChannelOrderSerializer
from orders.barring import BanKind
from orders.causes import Cause, FlagKind
from orders.models import ChannelOrder, Credit, NodeSnapshot, OnchainPayment
from orders.operations import banning
from orders.payments import security
from orders.payments.onchain import crediting, foreseeing, payers
from orders.states import At, OrderState
from tests.crediting import (
    FEE_SAT,
    FLOOR,
    fresh,
    look,
    lost_after_publishing,
    quoted,
    standing,
    taken,
)
from tests.factories import OrderFactory, pubkey, txid
from tests.fakes import regtest_address
from tests.foreseen import World, firmness
from tests.scripted import unmined

pytestmark = pytest.mark.django_db(transaction=True)

ADA = actors.staff("ada")


# What is taken


def test_a_deposit_in_no_block_that_pays_enough_is_taken_for_paid_and_counts_once_it_is_deep(world: World) -> None:
    order = quoted()
    made = taken(world, order)
    assert firmness(order) == "firm"
    credit = Credit.objects.get()
    assert (credit.amount_sat, credit.ended_at) == (order.order_total_sat, None)
    assert crediting.outstanding_sat() == order.order_total_sat
    world.mine(order, made)
    look(world, order)
    assert not fresh(order).on_credit and crediting.outstanding_sat() == 0
    causes = list(order.events.values_list("cause", flat=True))
    assert Cause.CREDIT_GIVEN in causes and Cause.CREDIT_REDEEMED in causes
    assert money.of(fresh(order), At.DEEP).is_covered


@pytest.mark.parametrize("name", ["ZERO_CONF_MAX_SAT", "CHAIN_RPC"])
def test_by_default_and_without_a_chain_source_nothing_is_taken_before_its_block(
    world: World, settings: Any, name: str
) -> None:
    setattr(settings, name, 0 if name == "ZERO_CONF_MAX_SAT" else None)
    order = quoted()
    world.deposit(order, FEE_SAT)
    assert look(world, order) == OrderState.CREATED and not Credit.objects.exists()


@pytest.mark.parametrize(("room", "asks"), [(serving, "clean"), (payers, "told")])
def test_what_a_listed_payer_sent_or_may_have_sent_is_not_taken_before_its_block(
    world: World, monkeypatch: pytest.MonkeyPatch, room: Any, asks: str
) -> None:
    monkeypatch.setattr(room, asks, lambda *given: [])
    order = quoted()
    world.deposit(order, FEE_SAT)
    assert look(world, order) == OrderState.CREATED and not Credit.objects.exists()


def test_dust_of_a_listed_payer_holds_up_nobody_elses_payment(world: World) -> None:
    payer, coin, order = regtest_address(91), (txid("barred coin"), 0), quoted()
    banning.add(BanKind.PAYER, payer, reason="a list of somebody's", actor=ADA)
    world.bitcoind.mined(*coin, 1_000)
    world.bitcoind.scripts[coin] = address_script(payer)
    world.bitcoind.scripts[txid(f"coin {order.pk}"), 0] = address_script(regtest_address(92))
    dust = unmined(txid("dust"), inputs=[Outpoint(*coin)])
    output = TxOutput(0, str(order.deposit_address), 600, True)
    world.node.wallet[dust.txid] = replace(dust, at=int(time.time()), outputs=(output,))
    world.deposit(order, FEE_SAT)
    assert look(world, order) == OrderState.PAID
    assert OnchainPayment.objects.filter(payers=[address_script(payer)]).exists()


def test_an_order_that_was_quoted_without_it_is_not_paid_so(world: World) -> None:
    order = OrderFactory()
    world.deposit(order, 50 * FEE_SAT)
    assert look(world, order) == OrderState.CREATED


@pytest.mark.parametrize(("fee_sat", "state"), [(FLOOR * 150, "created"), (FLOOR * 150 + 1, "paid")])
def test_its_fee_must_be_above_what_was_quoted_and_not_just_that(world: World, fee_sat: int, state: str) -> None:
    order = quoted()
    world.deposit(order, fee_sat)
    assert look(world, order) == state


def test_its_fee_must_be_that_of_today_too_where_fees_have_risen() -> None:
    def is_sure(fee_sat: int, today: int) -> bool:
        return Package(Paid(600, fee_sat)).is_sure(above_satvbyte=FLOOR, sat_per_kw=today)

    assert is_sure(1_501, 2_500) and not is_sure(1_501, 2_600) and is_sure(1_560, 2_600)
    assert not is_sure(1_500, 1_000)  # nor less than was quoted, where they have fallen


def test_what_spends_a_coin_in_no_block_is_not_taken_whatever_it_pays(world: World) -> None:
    order = quoted()
    made = world.deposit(order, FEE_SAT)
    world.bitcoind.spend("aa" * 32, [world.bitcoind.mined("bb" * 32, 0, 10**6)], [900_000])
    world.bitcoind.spend(made, [("aa" * 32, 0)], [order.order_total_sat])
    assert look(world, order) == OrderState.CREATED
    assert firmness(order) == "coming"  # its fee will bring it into a block: it keeps coins, and pays nothing


def test_control_whoever_does_not_look_at_its_parents_takes_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Package, "is_sure", lambda package, *, above_satvbyte, sat_per_kw: True)
    monkeypatch.setattr(foreseeing, "_where", lambda row, node, until: foreseeing.Whereabouts.WAITS)
    order = quoted()
    made = world.deposit(order, FEE_SAT)
    world.bitcoind.spend("aa" * 32, [world.bitcoind.mined("bb" * 32, 0, 10**6)], [900_000])
    world.bitcoind.spend(made, [("aa" * 32, 0)], [order.order_total_sat])
    assert look(world, order) == OrderState.PAID


def test_in_a_fee_spike_nothing_is_taken_nor_offered(world: World, settings: Any) -> None:
    settings.ZERO_CONF_MAX_SATVBYTE = 9
    order = quoted()
    world.deposit(order, 50 * FEE_SAT)
    assert look(world, order) == OrderState.CREATED
    assert crediting.offered_satvbyte(1_000, NodeSnapshot.objects.get()) is None


def test_after_the_orders_end_nothing_is_taken_before_its_block(world: World) -> None:
    order = quoted(expires_at=timezone.now() - timedelta(seconds=1))
    world.deposit(order, FEE_SAT)
    look(world, order)
    assert not Credit.objects.exists()


def test_what_covers_the_order_only_with_one_that_pays_too_little_is_not_taken(world: World) -> None:
    order = quoted()
    for name, fee_sat, amount_sat in (("good", FEE_SAT, 58_000), ("poor", 10, order.order_total_sat - 58_000)):
        made = world.deposit(order, fee_sat, name=name)
        output = TxOutput(0, str(order.deposit_address), amount_sat, True)
        world.node.wallet[made] = replace(world.node.wallet[made], outputs=(output,))
    assert look(world, order) == OrderState.CREATED
    assert not OnchainPayment.objects.exclude(state="seen").exists() and money.of(fresh(order), At.SEEN).is_covered


# The bounds


@pytest.mark.parametrize("bound", ["ZERO_CONF_MAX_SAT", "ZERO_CONF_TOTAL_MAX_SAT", "ZERO_CONF_NODE_MAX_SAT"])
@pytest.mark.parametrize("short", [1, 0])
def test_each_bound_holds_to_the_satoshi(world: World, settings: Any, bound: str, short: int) -> None:
    order = quoted(node_pubkey=pubkey(7), node_host="198.51.100.7:9735")
    setattr(settings, bound, order.order_total_sat - short)
    world.deposit(order, FEE_SAT)
    state = look(world, order)
    assert (state == OrderState.CREATED) is bool(short)


def test_all_together_are_bounded_and_a_deep_one_makes_room(world: World) -> None:
    orders = [quoted(client_hash=str(number)) for number in range(3)]
    made = [world.deposit(order, FEE_SAT) for order in orders]
    states = [look(world, order) for order in orders]
    assert sorted(states) == ["created", "paid", "paid"]
    assert crediting.outstanding_sat() == 2 * orders[0].order_total_sat
    waits = next(order for order in orders if fresh(order).state == "created")
    first = next(index for index, order in enumerate(orders) if fresh(order).state == "paid")
    world.mine(orders[first], made[first])
    look(world, orders[first])
    OnchainPayment.objects.update(ask_at=None)
    assert look(world, waits) == OrderState.PAID


def test_control_whoever_counts_none_of_the_others_takes_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crediting, "outstanding_sat", lambda node_pubkey="", *, besides=None: 0)
    orders = [quoted(client_hash=str(number)) for number in range(3)]
    for order in orders:
        world.deposit(order, FEE_SAT)
    assert {look(world, order) for order in orders} == {"paid"}


@pytest.mark.parametrize("counts", [True, False])
def test_their_channels_together_are_no_more_than_may_be_kept_for_what_is_in_no_block(
    world: World, monkeypatch: pytest.MonkeyPatch, counts: bool
) -> None:
    """A small price buys a large channel, and our coins are in that until somebody closes it. Control: not counted."""
    monkeypatch.setattr(rules, "MOST_COMING_PERCENT", 2)  # of 100,000,000 sat: one channel of these, and not two
    if not counts:
        monkeypatch.setattr(crediting, "_channels_sat", lambda besides: 0)
    orders = [quoted(client_hash=str(number)) for number in range(2)]
    for order in orders:
        world.deposit(order, FEE_SAT)
        look(world, order)
    assert sorted(fresh(order).state for order in orders) == ["created" if counts else "paid", "paid"]


def test_a_node_that_is_named_later_has_its_attempt_only_within_its_bound(world: World, settings: Any) -> None:
    settings.ZERO_CONF_NODE_MAX_SAT = 100_000
    orders = [quoted(client_hash=str(number)) for number in range(2)]
    for order in orders:
        taken(world, order)
        assert security.insecurity(fresh(order)) == ""
    ChannelOrder.objects.update(node_pubkey=pubkey(7))
    assert "Too much of this node" in security.insecurity(fresh(orders[0]))
    assert crediting.outstanding_sat(pubkey(7)) == 2 * orders[0].order_total_sat


def test_what_was_lost_counts_until_a_person_has_seen_it(world: World) -> None:
    order = quoted()
    lost_after_publishing(world, order)
    assert standing(order) == [FlagKind.UNPAID_CHANNEL]
    assert crediting.outstanding_sat() == order.order_total_sat
    flags.mark_seen(order.pk, actor=ADA)
    assert crediting.outstanding_sat() == 0


def test_control_where_a_loss_is_not_counted_the_next_is_taken_before_anybody_has_seen_it(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ZERO_CONF_TOTAL_MAX_SAT = 60_000
    orders = [quoted(client_hash=str(number)) for number in range(3)]
    lost_after_publishing(world, orders[0])
    world.deposit(orders[1], FEE_SAT)
    assert look(world, orders[1]) == OrderState.CREATED
    monkeypatch.setattr(crediting, "_counting", lambda: Credit.objects.filter(ended_at=None))
    assert look(world, orders[1]) == OrderState.PAID


# What clients of the first server read


def test_an_order_says_what_a_deposit_must_pay_and_by_when_and_that_it_was_taken(world: World) -> None:
    order = quoted()

    def said() -> Any:
        return ChannelOrderSerializer(wire.view(fresh(order), wire.Place("https://example.org"))).data

    before = said()
    assert (before["zero_conf"], before["zero_conf_satvbyte"]) == (False, FLOOR)
    assert before["zero_conf_satvbyte_expiry"] == before["order_expiry"]
    taken(world, order)
    after = said()
    assert (after["zero_conf"], after["amount_received"]) == (True, order.order_total_sat)
    assert [payment["zero_conf"] for payment in after["onchain_payments"]] == [True]


def test_it_is_offered_while_there_is_room(world: World, settings: Any) -> None:
    seen = NodeSnapshot.objects.get()
    assert crediting.offered_satvbyte(100_000, seen) == FLOOR
    assert crediting.offered_satvbyte(100_001, seen) is None
    settings.ZERO_CONF_TOTAL_MAX_SAT = 99_999
    assert crediting.offered_satvbyte(100_000, seen) is None
    settings.ZERO_CONF_MAX_SAT = 0
    assert crediting.offered_satvbyte(1_000, seen) is None
