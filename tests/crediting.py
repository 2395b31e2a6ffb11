"""Orders that are paid by deposits in no block: what tests of them do, and ask."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from lightning.types import Outpoint
from orders import queries
from orders.models import ChannelOrder, Credit
from orders.payments import onchain, security
from orders.payments.onchain import foreseeing
from orders.payments.rail import Security
from orders.states import OpeningState, OrderState
from tests.bitcoind import Bitcoind, running
from tests.factories import OpeningFactory, OrderFactory, SnapshotFactory, pubkey
from tests.foreseen import ENOUGH_SAT, World
from tests.scripted import pending, unmined

#: 10 sat a vbyte, as the snapshot's estimate is; a deposit has 150 vbytes.
FLOOR = 10
FEE_SAT = ENOUGH_SAT + 1


def trusting_world(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """It takes orders of 100,000 sat in no block, and 150,000 sat of them."""
    settings.ZERO_CONF_MAX_SAT = 100_000
    settings.ZERO_CONF_NODE_MAX_SAT = settings.ZERO_CONF_TOTAL_MAX_SAT = 150_000
    settings.ONCHAIN_CONFIRMATIONS = 1
    SnapshotFactory()
    bitcoind = Bitcoind()
    foreseeing._source.cache_clear()
    with running(bitcoind) as settings.CHAIN_RPC:
        made = World(bitcoind)
        monkeypatch.setattr("lightning.connection.node", lambda: made.node)
        yield made
    foreseeing._source.cache_clear()


def quoted(**fields: Any) -> ChannelOrder:
    """58,120 sat, of which 50,000 are pushed."""
    order: ChannelOrder = OrderFactory(zero_conf_satvbyte=FLOOR, **fields)
    return order


def fresh(order: ChannelOrder) -> ChannelOrder:
    return queries.order_or_raise(order.pk)


def look(world: World, order: ChannelOrder) -> str:
    """A pass, and the looks that it nudges."""
    ChannelOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
    world.look(order)
    return fresh(order).state


def taken(world: World, order: ChannelOrder, fee_sat: int = FEE_SAT) -> str:
    """Its deposit was taken in no block; the transaction."""
    made = world.deposit(order, fee_sat)
    assert look(world, order) in {OrderState.PAID, OrderState.URI_SET}
    assert fresh(order).on_credit
    return made


def standing(order: ChannelOrder) -> list[str]:
    return [flag.kind for flag in fresh(order).standing]


def an_hour_passes() -> None:
    Credit.objects.update(seen_at=F("seen_at") - timedelta(hours=1))


def replaced(world: World, made: str, *, mined_rival: bool = False) -> None:
    """A rival of it is in the mempool; with `mined_rival` in a block, where our wallet does not see it."""
    row = world.bitcoind.mempool.pop(made)
    if mined_rival:
        for coin in row["vin"]:
            del world.bitcoind.chain[coin["txid"], coin["vout"]]


def payment_of(world: World, order: ChannelOrder) -> Security:
    return security.look(fresh(order), world.node)  # type: ignore[arg-type]


def follow(world: World, order: ChannelOrder) -> bool:
    return bool(onchain.follow_credit(fresh(order), world.node, is_delivered=lambda: False))  # type: ignore[arg-type]


def committed(world: World, order: ChannelOrder, state: OpeningState) -> str:
    """Its deposit was taken in no block, and its funding is signed, or published."""
    made = taken(world, order)
    ChannelOrder.objects.filter(pk=order.pk).update(state=OrderState.OPENING, node_pubkey=pubkey(7))
    opening = OpeningFactory(order=fresh(order), state=state, node_pubkey=pubkey(7))
    assert opening.transaction is not None
    outpoint = Outpoint.parse(opening.funding_outpoint)
    world.node.pending = [pending(outpoint, fresh(order))]
    if state == OpeningState.PUBLISHED:
        world.node.wallet[outpoint.txid] = unmined(outpoint.txid)
    return made


def lost_after_publishing(world: World, order: ChannelOrder) -> None:
    made = committed(world, order, OpeningState.PUBLISHED)
    assert not follow(world, order)
    replaced(world, made, mined_rival=True)
    assert follow(world, order)
