"""A deposit that counted is taken back by blocks, and its coin spent elsewhere: the order ends once that is proven."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.types import Outpoint
from orders.books import recounting
from orders.causes import Cause
from orders.models import ChannelOrder, OnchainPayment, Refund
from orders.payments import onchain
from orders.payments.onchain import foreseeing, missing
from orders.states import OpeningState, OrderState
from tests.bitcoind import Bitcoind, running
from tests.booking import balances
from tests.crediting import fresh, look, standing
from tests.factories import OpeningFactory, OrderFactory, SnapshotFactory, pubkey, txid
from tests.foreseen import World, firmness
from tests.scripted import mined, pending, unmined

pytestmark = pytest.mark.django_db(transaction=True)

FINAL = 6


@pytest.fixture
def world(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    settings.ONCHAIN_CONFIRMATIONS, settings.FINAL_DEPTH_BLOCKS = 1, FINAL
    SnapshotFactory()
    bitcoind = Bitcoind()
    foreseeing._source.cache_clear()
    with running(bitcoind) as settings.CHAIN_RPC:
        made = World(bitcoind)
        monkeypatch.setattr("lightning.connection.node", lambda: made.node)
        yield made
    foreseeing._source.cache_clear()


def paid(world: World, **fields: Any) -> tuple[ChannelOrder, str]:
    order: ChannelOrder = OrderFactory(**fields)
    made = world.deposit(order)
    look(world, order)
    mined_now(world, order, made)
    assert look(world, order) in {OrderState.PAID, OrderState.URI_SET}
    return order, made


def mined_now(world: World, order: ChannelOrder, made: str) -> None:
    """It is in the last block."""
    world.bitcoind.mempool.pop(made, None)
    world.node.wallet[made] = world.paying(order, mined(made, confirmations=1, height=world.node.height))


def taken_back(world: World, order: ChannelOrder, made: str, *, rival: bool = True) -> None:
    """Its block is none of the chain's any more; with a `rival` another one has what spends its coin."""
    coin = (txid(f"coin {order.pk}"), 0)
    world.node.wallet[made] = world.paying(order, unmined(made, inputs=[Outpoint(*coin)]))
    if rival:
        world.bitcoind.chain.pop(coin, None)


def blocks(world: World, order: ChannelOrder, number: int) -> str:
    for _ in range(number):
        world.node.height += 1
        world.bitcoind.height += 1
        look(world, order)
    return fresh(order).state


def moved_to(order: ChannelOrder, state: OrderState) -> None:
    more = {} if state == OrderState.PAID else {"node_pubkey": pubkey(7)}
    if state == OrderState.GIVE_UP:
        more |= {"give_up_reason": "PEER_NOT_REACHABLE", "give_up_until": timezone.now() - timedelta(hours=1)}
    ChannelOrder.objects.filter(pk=order.pk).update(state=state, **more)


@pytest.mark.parametrize("state", [OrderState.PAID, OrderState.URI_SET, OrderState.GIVE_UP])
def test_an_order_ends_unpaid_once_a_rival_of_what_paid_it_is_deep_and_not_before(
    world: World, state: OrderState
) -> None:
    order, made = paid(world)
    moved_to(order, state)
    taken_back(world, order, made)
    assert look(world, order) == state and "deposit_taken_back" in standing(order)
    assert blocks(world, order, FINAL - 2) == state
    assert blocks(world, order, 1) == OrderState.EXPIRED
    assert (fresh(order).counted_payment, firmness(order)) == ("", "released")
    assert onchain.due_sat(fresh(order), timezone.now()) == 0
    assert not standing(order) and not balances(order) and recounting.differences() == ([], 0)


def test_one_that_may_come_back_is_waited_for(world: World) -> None:
    order, made = paid(world)
    taken_back(world, order, made, rival=False)
    assert blocks(world, order, 3 * FINAL) == OrderState.PAID
    mined_now(world, order, made)
    assert look(world, order) == OrderState.PAID and not standing(order)


def test_a_rival_that_was_taken_back_in_its_turn_begins_anew(world: World) -> None:
    order, made = paid(world)
    taken_back(world, order, made)
    blocks(world, order, FINAL - 2)
    mined_now(world, order, made)
    look(world, order)
    taken_back(world, order, made)
    look(world, order)
    assert blocks(world, order, FINAL - 2) == OrderState.PAID
    assert blocks(world, order, 1) == OrderState.EXPIRED


def test_what_comes_back_after_all_is_a_late_payment_that_still_buys(world: World) -> None:
    order, made = paid(world)
    taken_back(world, order, made)
    look(world, order)
    assert blocks(world, order, FINAL) == OrderState.EXPIRED
    mined_now(world, order, made)
    assert look(world, order) == OrderState.PAID


def test_a_source_that_is_away_proves_nothing(world: World) -> None:
    order, made = paid(world)
    taken_back(world, order, made)
    look(world, order)
    world.bitcoind.status = 503
    assert blocks(world, order, 2 * FINAL) == OrderState.PAID


def test_where_the_rest_still_pays_it_nothing_is_missing(world: World) -> None:
    order, made = paid(world)
    other = world.deposit(order, name="another")
    mined_now(world, order, other)
    look(world, order)
    taken_back(world, order, made)
    assert blocks(world, order, 2 * FINAL) == OrderState.PAID


def delivered(world: World, order: ChannelOrder, state: OpeningState) -> None:
    """Its funding is signed, or with the network."""
    moved_to(order, OrderState.URI_SET)
    opening = OpeningFactory(order=fresh(order), state=state, node_pubkey=pubkey(7))
    ChannelOrder.objects.filter(pk=order.pk).update(state=OrderState.OPENING)
    outpoint = Outpoint.parse(opening.funding_outpoint)
    world.node.pending, world.node.wallet[outpoint.txid] = [pending(outpoint, fresh(order))], unmined(outpoint.txid)


def test_past_the_point_of_no_return_it_is_a_loss_with_a_name_told_once(world: World) -> None:
    order, made = paid(world)
    delivered(world, order, OpeningState.PUBLISHED)
    taken_back(world, order, made)
    look(world, order)
    assert blocks(world, order, FINAL - 2) == OrderState.OPENING and "unpaid_channel" not in standing(order)
    assert blocks(world, order, 1) == OrderState.OPENING and "unpaid_channel" in standing(order)
    blocks(world, order, FINAL)
    lost = order.events.get(cause=Cause.PAYMENT_LOST)
    assert lost.facts == {"rail": "onchain", "amount_sat": order.order_total_sat}


def test_what_is_only_signed_is_decided_by_who_would_publish_it(world: World) -> None:
    order, _ = paid(world)
    OnchainPayment.objects.update(state="seen", block_height=None, confirmations=0)
    delivered(world, order, OpeningState.PUBLISHING)
    assert not missing.is_missing(fresh(order))


def test_nor_is_an_order_whose_channel_our_records_have_lost(world: World) -> None:
    order, made = paid(world)
    moved_to(order, OrderState.URI_SET)
    world.node.pending = [pending(Outpoint(txid("real"), 0), fresh(order))]
    taken_back(world, order, made)
    assert blocks(world, order, 2 * FINAL) != OrderState.EXPIRED


def test_nor_while_an_attempt_is_live_or_money_goes_back_or_it_was_taken_in_no_block(world: World) -> None:
    orders = [paid(world)[0] for _ in range(4)]
    OnchainPayment.objects.update(state="seen", block_height=None, confirmations=0)
    attempted, returned, trusted, alone = orders
    moved_to(attempted, OrderState.URI_SET)
    OpeningFactory(order=fresh(attempted), state=OpeningState.FUNDED, node_pubkey=pubkey(7))
    Refund.objects.create(order=returned, amount_sat=900, cause="surplus", ends_order=False, created_at=timezone.now())
    ChannelOrder.objects.filter(pk=trusted.pk).update(on_credit=True)
    assert [missing.is_missing(fresh(order)) for order in orders] == [False, False, False, True]
    assert fresh(alone).state == OrderState.PAID


def test_control_without_the_wait_for_depth_one_block_of_a_rival_ends_it(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing, "_rivalled_since", lambda order: 0)
    order, made = paid(world)
    taken_back(world, order, made)
    assert look(world, order) == OrderState.EXPIRED
    assert OnchainPayment.objects.get().state == "seen"
