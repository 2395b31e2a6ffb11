"""A deposit in no block keeps coins while its fee will bring it into one: with a chain source, and not longer."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from chain.node import ChainNode
from lightning.types import TxOutput
from lsp_site.logs import SecretsHidden
from orders import queries
from orders.admission import rules
from orders.advance import advance
from orders.models import ChannelOrder, NodeSnapshot, OnchainPayment, Reservation
from orders.payments.onchain import foreseeing, reserving, watching
from orders.states import OrderState
from streams import hints
from tests.bitcoind import PASSWORD, Bitcoind, running
from tests.factories import OrderFactory, SnapshotFactory
from tests.foreseen import ENOUGH_SAT, World, age, firmness
from tests.scripted import held, unmined

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    SnapshotFactory()
    bitcoind = Bitcoind()
    foreseeing._source.cache_clear()
    with running(bitcoind) as settings.CHAIN_RPC:
        made = World(bitcoind)
        monkeypatch.setattr("lightning.connection.node", lambda: made.node)
        yield made
    foreseeing._source.cache_clear()


def test_a_deposit_whose_fee_will_confirm_it_keeps_coins_from_the_moment_it_is_seen(world: World) -> None:
    order = OrderFactory()
    made = world.deposit(order)
    assert world.look(order) == "coming"
    stock = queries.stock(NodeSnapshot.objects.get())
    assert stock.coming_sat == stock.taken_sat == order.reservation.value_sat
    assert queries.order_or_raise(order.pk).state == OrderState.CREATED
    world.mine(order, made)
    assert world.look(order) == "firm"


def test_it_waits_for_no_pass_what_the_node_tells_the_streams_is_enough(world: World) -> None:
    order = OrderFactory()
    hints.transaction_seen(world.node.wallet[world.deposit(order)])
    assert queries.due_ids(timezone.now()) == [order.pk]
    advance(order.pk, node=world.node)  # type: ignore[arg-type]
    assert firmness(order) == "coming"


def test_control_without_a_chain_source_it_keeps_none(world: World, settings: Any) -> None:
    settings.CHAIN_RPC = None
    order = OrderFactory()
    world.deposit(order)
    assert world.look(order) == "quoted" and world.bitcoind.asked == []


def test_a_fee_that_will_not_confirm_it_keeps_none(world: World) -> None:
    order = OrderFactory()
    world.deposit(order, ENOUGH_SAT - 1)
    assert world.look(order) == "quoted"


def test_it_counts_no_earlier_however_often_and_surely_it_is_foreseen(world: World, settings: Any) -> None:
    settings.ONCHAIN_CONFIRMATIONS = 2
    order = OrderFactory()
    made = world.deposit(order, 50 * ENOUGH_SAT)
    for _ in range(3):
        assert world.look(order) == "coming"
        age(minutes=1)
    world.mine(order, made)
    world.look(order)
    assert queries.order_or_raise(order.pk).state == OrderState.CREATED


def test_one_that_is_replaced_or_falls_out_of_the_mempool_keeps_none_any_more(world: World) -> None:
    order = OrderFactory()
    made = world.deposit(order)
    assert world.look(order) == "coming"
    del world.bitcoind.mempool[made]
    age(minutes=1)
    assert world.look(order) == "quoted"


def test_one_that_the_wallet_forgets_keeps_none_any_more(world: World) -> None:
    order = OrderFactory()
    made = world.deposit(order)
    assert world.look(order) == "coming"
    del world.node.wallet[made]
    watching.read_deposits(world.node, NodeSnapshot.objects.get())  # type: ignore[arg-type]
    assert firmness(order) == "quoted"


def test_a_replacement_that_pays_too_keeps_them_but_not_for_longer(world: World) -> None:
    order = OrderFactory()
    made = world.deposit(order)
    assert world.look(order) == "coming"
    age(minutes=30)
    del world.bitcoind.mempool[made]
    world.deposit(order, 2 * ENOUGH_SAT, name="bumped")
    assert world.look(order) == "coming"
    age(minutes=31)
    assert world.look(order) == "quoted"
    age(minutes=1)
    assert world.look(order) == "quoted"


def test_what_waits_long_after_its_fee_should_have_confirmed_it_keeps_none(world: World) -> None:
    """Also against a source that lies: it may say so for ever."""
    order = OrderFactory()
    world.deposit(order)
    for _ in range(3):
        assert world.look(order) == "coming"
        age(minutes=19)
    age(minutes=4)
    assert world.look(order) == "quoted"


def test_control_without_that_limit_a_deposit_that_is_never_mined_keeps_coins_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (reserving, foreseeing):
        monkeypatch.setattr(room, "has_had_its_time", lambda first_at, now: False)
    monkeypatch.setattr(foreseeing, "patience", lambda: timedelta(days=9))
    order = OrderFactory()
    world.deposit(order)
    assert world.look(order) == "coming"
    age(minutes=120)
    assert world.look(order) == "coming"


def test_fees_that_rise_after_it_was_foreseen_take_nothing_from_it(world: World) -> None:
    order = OrderFactory()
    world.deposit(order)
    assert world.look(order) == "coming"
    node_fees = world.node.fee_rates
    world.node.fee_rates = lambda **given: type(node_fees(**given))(5000, 253)  # type: ignore[method-assign]
    age(minutes=1)
    assert world.look(order) == "coming"


def test_a_deposit_that_pays_too_little_is_asked_about_less_and_less(world: World) -> None:
    order = OrderFactory()
    world.deposit(order, 0)
    for _ in range(60):
        world.look(order)
        age(minutes=1)
    asked = world.bitcoind.asked.count("getrawtransaction")
    assert 5 < asked < 15


# Who gives way, and who attacks


def two_for_the_coins_of_one(world: World) -> tuple[ChannelOrder, ChannelOrder]:
    """A held payment within its time, and a deposit in no block."""
    world.node.spendable_sat = 2_100_000
    weak = OrderFactory(paid_lightning=True, lsp_balance_sat=1_900_000)
    world.node.by_hash[weak.hold_invoice.payment_hash] = held(weak)
    order = OrderFactory(lsp_balance_sat=900_000)
    world.deposit(order)
    return weak, order


def test_it_drives_out_nobody_who_is_within_his_time(world: World) -> None:
    weak, order = two_for_the_coins_of_one(world)
    assert (world.look(order), firmness(weak)) == ("quoted", "held")


def test_who_has_had_his_time_gives_way_to_it(world: World) -> None:
    weak, order = two_for_the_coins_of_one(world)
    Reservation.objects.filter(order=weak.pk).update(until=timezone.now())
    assert world.look(order) == "coming"
    assert Reservation.objects.get(order=weak.pk).gives_way_at is not None


def test_what_is_kept_for_it_is_for_sale_to_nobody_else(world: World) -> None:
    order = OrderFactory()
    world.look(order)
    before = queries.stock(NodeSnapshot.objects.get())
    world.deposit(order)
    world.look(order)
    after = queries.stock(NodeSnapshot.objects.get())
    taken_sat = order.reservation.value_sat
    assert (before.available_sat - after.available_sat, before.room_sat - after.room_sat) == (taken_sat, taken_sat)


def test_all_that_may_yet_be_replaced_keep_half_of_what_there_is_at_most(world: World) -> None:
    world.node.spendable_sat = 5_000_000
    orders = [OrderFactory() for _ in range(4)]
    for order in orders:
        world.deposit(order)
    world.look(orders[0])
    assert sorted(map(firmness, orders)) == ["coming", "coming", "quoted", "quoted"]


def test_control_without_the_half_all_of_it_is_kept_for_who_may_replace_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "may_come", lambda *_, **__: True)
    world.node.spendable_sat = 5_000_000
    orders = [OrderFactory() for _ in range(4)]
    for order in orders:
        world.deposit(order)
    world.look(orders[0])
    assert set(map(firmness, orders)) == {"coming"}


def test_a_client_has_one_at_a_time_and_none_for_an_hour_after_one_that_came_to_nothing(world: World) -> None:
    first, second = OrderFactory(client_hash="he"), OrderFactory(client_hash="he")
    other = OrderFactory(client_hash="she")
    made = world.deposit(first)
    assert world.look(first) == "coming"
    world.deposit(second)
    world.deposit(other)
    assert (world.look(second), firmness(other)) == ("quoted", "coming")
    del world.bitcoind.mempool[made]
    age(minutes=1)
    assert (world.look(first), firmness(second)) == ("quoted", "quoted")
    age(minutes=1)
    assert world.look(second) == "quoted"


def test_one_that_was_mined_is_held_against_nobody(world: World) -> None:
    first, second = OrderFactory(client_hash="he"), OrderFactory(client_hash="he")
    made = world.deposit(first)
    world.look(first)
    world.mine(first, made)
    world.look(first)
    world.deposit(second)
    assert world.look(second) == "coming"


def test_a_part_of_the_price_is_not_asked_about(world: World) -> None:
    order = OrderFactory()
    made = world.deposit(order)
    OnchainPayment.objects.all().delete()
    wallet = world.node.wallet[made]
    part = TxOutput(0, str(order.deposit_address), order.order_total_sat - 1, True)
    world.node.wallet[made] = unmined(wallet.txid, outputs=[part])
    assert world.look(order) == "quoted" and world.bitcoind.asked == []


# A source that is no help


def test_a_source_that_goes_away_leaves_what_it_said_for_three_minutes(world: World) -> None:
    order = OrderFactory()
    world.deposit(order)
    assert world.look(order) == "coming"
    world.bitcoind.status = 503
    age(minutes=2)
    assert world.look(order) == "coming"
    age(minutes=2)
    assert world.look(order) == "quoted"


def test_a_source_that_is_switched_off_leaves_nothing_kept(world: World, settings: Any) -> None:
    order = OrderFactory()
    world.deposit(order)
    assert world.look(order) == "coming"
    settings.CHAIN_RPC = None
    age(minutes=4)
    assert world.look(order) == "quoted"


def test_a_source_that_is_away_is_asked_once_and_told_of_once_without_its_password(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    requests: list[int] = []
    world.bitcoind.status, world.bitcoind.before_answering = 401, lambda: requests.append(1)
    orders = [OrderFactory() for _ in range(5)]
    for order in orders:
        world.deposit(order)
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            world.look(orders[0])
    told = [record.getMessage() for record in caplog.records if "chain source" in record.getMessage()]
    assert len(told) == len(requests) == 1 and PASSWORD not in caplog.text
    assert set(map(firmness, orders)) == {"quoted"}


@pytest.mark.parametrize("said", [b"", b"[1]", b'[{"id": 0, "result": 1}]', b"[" * 100_000])
def test_a_source_that_talks_nonsense_is_as_none(world: World, said: bytes) -> None:
    order = OrderFactory()
    made = world.deposit(order)
    world.bitcoind.instead = lambda calls: said
    assert world.look(order) == "quoted"
    world.mine(order, made)
    assert world.look(order) == "firm"


def test_a_source_that_is_behind_is_as_none(world: World) -> None:
    order = OrderFactory()
    world.deposit(order)
    world.bitcoind.height = 797
    assert world.look(order) == "quoted"


def test_a_source_on_another_network_knows_no_deposit(world: World) -> None:
    order = OrderFactory()
    world.deposit(order, in_mempool=False)
    assert world.look(order) == "quoted"


def test_while_one_waits_for_the_source_nobody_else_does(world: World) -> None:
    """Four looks of a lane at once, and a source that hangs: three of them go on."""
    orders = [OrderFactory() for _ in range(4)]
    for order in orders:
        world.deposit(order)
    watching.read_deposits(world.node, NodeSnapshot.objects.get())  # type: ignore[arg-type]
    go_on = threading.Event()
    world.bitcoind.before_answering = lambda: go_on.wait(20)
    asking = threading.Thread(target=foreseeing._source(os.getpid()).foresees, args=({"ab" * 32: False},))
    asking.start()
    time.sleep(0.2)
    begun = time.monotonic()
    for order in orders:
        advance(order.pk, node=world.node)  # type: ignore[arg-type]
    took = time.monotonic() - begun
    go_on.set()
    asking.join()
    assert took < 2


def test_the_source_is_asked_while_no_row_and_no_lock_is_held(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    held_rows: list[bool] = []
    whole = ChainNode.height

    def height(node: ChainNode, **given: Any) -> int:
        held_rows.append(connection.in_atomic_block)
        return whole(node, **given)

    monkeypatch.setattr(ChainNode, "height", height)
    order = OrderFactory()
    world.deposit(order)
    assert world.look(order) == "coming"
    assert held_rows and not any(held_rows)


def test_no_error_page_shows_the_source(settings: Any) -> None:
    settings.CHAIN_RPC = f"http://lsp:{PASSWORD}@127.0.0.1:8332"
    shown = SecretsHidden().get_safe_settings()
    assert PASSWORD not in str(shown) and "CHAIN_RPC" in shown
