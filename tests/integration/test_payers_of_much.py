"""Payers who hide: behind many coins, behind a replacement, behind the end of the order."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from lightning.transactions import address_script
from lightning.types import Outpoint
from orders import actors, queries
from orders.barring import BanKind
from orders.causes import FlagKind
from orders.models import ChannelOrder, OnchainPayment
from orders.operations import banning
from orders.payments.onchain import foreseeing, payers
from orders.states import DepositState, OrderState
from tests.crediting import FEE_SAT, fresh, look, payment_of, quoted, standing, taken
from tests.factories import OrderFactory, pubkey, txid
from tests.fakes import regtest_address
from tests.foreseen import World
from tests.scripted import unmined

pytestmark = pytest.mark.django_db(transaction=True)

PAYER = regtest_address(91)


def ban(payer: str = PAYER) -> None:
    banning.add(BanKind.PAYER, payer, reason="a list of somebody's", actor=actors.staff("ada"))


# Behind many coins


def deposit_of(world: World, coins: int, *, listed: int) -> ChannelOrder:
    """Paid with so many coins, of which one is the payer's."""
    order: ChannelOrder = OrderFactory()
    made = world.deposit(order)
    points = [world.bitcoind.mined(txid(f"many {n}"), 0, 1_000) for n in range(coins)]
    world.bitcoind.scripts[points[listed]] = address_script(PAYER)
    spent = tuple(Outpoint(*point) for point in points)
    world.node.wallet[made] = replace(world.node.wallet[made], inputs=spent)
    return order


@pytest.mark.parametrize(("coins", "listed"), [(201, 200), (1_700, 1_699), (1_700, 3)])
def test_whoever_pays_with_very_many_coins_is_found_behind_the_last_of_them(
    world: World, coins: int, listed: int
) -> None:
    order = deposit_of(world, coins, listed=listed)
    world.look(order)
    assert address_script(PAYER) in (OnchainPayment.objects.get().payers or ())
    ban()
    world.mine(order, next(iter(world.node.wallet)))
    world.look(order)
    assert fresh(order).state == OrderState.REJECTED


def test_all_questions_of_a_look_have_the_time_of_one_and_after_it_there_is_a_pause(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger chooses how many there are: each order like it would hold its look for minutes, again and again."""
    order = deposit_of(world, 1_700, listed=3)
    world.look(order)
    OnchainPayment.objects.update(payers=None)
    monkeypatch.setattr("chain.node.PATIENCE_SECONDS", 0.5)
    world.bitcoind.before_answering = lambda: time.sleep(0.2)
    world.bitcoind.asked.clear()
    began = time.monotonic()
    assert not payers.look(queries.order_or_raise(order.pk))
    assert time.monotonic() - began < 1.5 and OnchainPayment.objects.get().payers is None
    assert 100 <= world.bitcoind.asked.count("gettxout") <= 300
    world.bitcoind.asked.clear()
    assert not payers.look(queries.order_or_raise(order.pk)) and not world.bitcoind.asked
    world.bitcoind.before_answering = lambda: None
    assert foreseeing.ask(lambda node: node.height()) == 800, "the source is not to blame, and is asked by others"
    monkeypatch.setattr(payers, "_pauses", {})
    assert payers.look(queries.order_or_raise(order.pk))


def test_parents_that_only_an_index_knows_are_asked_for_beyond_the_first_ten(world: World) -> None:
    order: ChannelOrder = OrderFactory()
    made = world.deposit(order)
    parents = [txid(f"parent {n:02}") for n in range(25)]
    for parent in parents:
        payer = PAYER if parent == max(parents) else regtest_address(92)
        world.bitcoind.scripts[parent, 0] = address_script(payer)
        world.bitcoind.spend(parent, [], [1_000])
    world.node.wallet[made] = replace(world.node.wallet[made], inputs=tuple(Outpoint(each, 0) for each in parents))
    world.look(order)
    assert address_script(PAYER) in (OnchainPayment.objects.get().payers or ())


def test_what_is_told_of_some_coins_only_is_no_answer_and_a_person_is_told_when_it_counts_all_the_same(
    world: World,
) -> None:
    order = deposit_of(world, 30, listed=3)
    [made] = world.node.wallet
    del world.bitcoind.chain[txid("many 7"), 0]
    ban(regtest_address(93))
    world.look(order)
    inputs = world.node.wallet[made].inputs
    world.mine(order, made)
    world.node.wallet[made] = replace(world.node.wallet[made], inputs=inputs)
    world.look(order)
    assert OnchainPayment.objects.get().payers is None and fresh(order).state == OrderState.CREATED
    world.node.wallet[made] = replace(world.node.wallet[made], confirmations=6, block_height=795)
    world.look(order)
    assert fresh(order).state == OrderState.PAID and standing(order) == [FlagKind.PAYER_UNKNOWN]


def test_one_of_them_who_is_listed_is_enough_though_others_are_not_told(world: World) -> None:
    order = deposit_of(world, 30, listed=3)
    [made] = world.node.wallet
    del world.bitcoind.chain[txid("many 7"), 0]
    ban()
    inputs = world.node.wallet[made].inputs
    world.mine(order, made)
    world.node.wallet[made] = replace(world.node.wallet[made], inputs=inputs)
    world.look(order)
    assert fresh(order).state == OrderState.REJECTED


def test_control_where_nobody_is_listed_nobody_is_told_of_a_payer_who_is_not_known(world: World) -> None:
    order = deposit_of(world, 30, listed=3)
    [made] = world.node.wallet
    world.bitcoind.chain.clear()
    world.mine(order, made)
    world.look(order)
    assert fresh(order).state == OrderState.PAID and not standing(order)


# Behind a replacement


def replaced_by(world: World, order: ChannelOrder, made: str, payer: str, *, keeps_old: bool = False) -> str:
    """The buyer's deposit is replaced by one of another payer's, which our wallet lists instead, or beside it."""
    world.bitcoind.mempool.pop(made)
    if not keeps_old:
        del world.node.wallet[made]
    another = txid(f"another {order.pk}")
    coin = world.bitcoind.mined(txid(f"another's {order.pk}"), 0, order.order_total_sat + FEE_SAT)
    world.bitcoind.scripts[coin] = address_script(payer)
    world.bitcoind.spend(another, [coin], [order.order_total_sat])
    world.node.wallet[another] = world.paying(order, unmined(another, inputs=[Outpoint(*coin)]))
    return another


@pytest.mark.parametrize("state", [OrderState.PAID, OrderState.URI_SET])
def test_who_replaces_a_deposit_that_was_taken_in_no_block_is_asked_who_pays_now(
    world: World, state: OrderState
) -> None:
    ban()
    order = quoted(**({"node_pubkey": pubkey(7), "node_host": "198.51.100.7:9735"} if state == "uri_set" else {}))
    made = taken(world, order)
    assert fresh(order).state == state
    replaced_by(world, order, made, PAYER)
    look(world, order)
    assert fresh(order).state in {OrderState.REJECTED, OrderState.GIVE_UP}
    assert fresh(order).give_up_reason == "NOT_SERVED"


def test_control_whoever_is_not_listed_may_replace_his_own_deposit(world: World) -> None:
    ban()
    order = quoted()
    made = taken(world, order)
    replaced_by(world, order, made, regtest_address(92))
    assert look(world, order) == OrderState.PAID and fresh(order).on_credit
    assert payment_of(world, order).secured


def test_what_the_wallet_lists_beside_its_replacement_does_not_vouch_for_it(world: World) -> None:
    ban()
    order = quoted()
    made = taken(world, order)
    replaced_by(world, order, made, PAYER, keeps_old=True)
    look(world, order)
    payment = payment_of(world, order)
    assert not payment.secured


def test_while_nobody_knows_who_has_paid_nothing_is_opened_for_it(world: World) -> None:
    ban()
    order = quoted()
    made = taken(world, order)
    another = replaced_by(world, order, made, PAYER)
    OnchainPayment.objects.filter(txid=another).update(payers=None)
    world.bitcoind.status = 503
    look(world, order)
    payment = payment_of(world, order)
    assert (payment.secured, payment.lost) == (False, False)


# Behind the end of the order


def test_a_deposit_that_comes_after_the_orders_end_is_asked_about_while_its_coins_can_tell(world: World) -> None:
    ban()
    order: ChannelOrder = OrderFactory(expired=True)
    made = world.deposit(order)
    world.bitcoind.scripts[txid(f"coin {order.pk}"), 0] = address_script(PAYER)
    look(world, order)
    assert OnchainPayment.objects.get().payers == [address_script(PAYER)]
    world.bitcoind.chain.clear()
    world.mine(order, made)
    assert look(world, order) == OrderState.EXPIRED


def test_of_what_is_delivered_nobody_asks(world: World) -> None:
    order: ChannelOrder = OrderFactory(open=True, counted_payment="onchain", deposits__state=DepositState.SEEN)
    assert not payers.look(order) and not world.bitcoind.asked
