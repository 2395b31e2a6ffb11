"""Who has paid on chain is asked of the chain source while it can tell, and waited for no longer than that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from chain.access import Access
from chain.errors import Unreadable
from chain.node import ChainNode, in_time
from lightning.transactions import address_script
from lightning.types import Outpoint, TxOutput
from orders import actors
from orders.barring import BanKind
from orders.models import ChannelOrder, OnchainPayment
from orders.operations import banning
from orders.payments.onchain import foreseeing, payers
from orders.states import OrderState
from tests.bitcoind import Bitcoind, running
from tests.factories import OrderFactory, SnapshotFactory, txid
from tests.fakes import regtest_address
from tests.foreseen import World
from tests.scripted import mined

pytestmark = pytest.mark.django_db(transaction=True)

PAYER = regtest_address(91)
FINAL = 6


@pytest.fixture
def world(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    SnapshotFactory()
    bitcoind = Bitcoind()
    foreseeing._source.cache_clear()
    settings.ONCHAIN_CONFIRMATIONS = 1
    with running(bitcoind) as settings.CHAIN_RPC:
        made = World(bitcoind)
        monkeypatch.setattr("lightning.connection.node", lambda: made.node)
        yield made
    foreseeing._source.cache_clear()


def ban() -> None:
    banning.add(BanKind.PAYER, PAYER, reason="a list of somebody's", actor=actors.staff("ada"))


def paid(world: World, order: ChannelOrder) -> str:
    """By a coin of the payer's, which the wallet shows that it spends."""
    made = world.deposit(order)
    coin = (txid(f"coin {order.pk}"), 0)
    world.bitcoind.scripts[coin] = address_script(PAYER)
    world.node.wallet[made] = replace(world.node.wallet[made], inputs=(Outpoint(*coin),))
    return made


def mine(world: World, order: ChannelOrder, made: str, confirmations: int = 1) -> None:
    """As a node without an index: what was spent in a block is forgotten."""
    inputs = world.node.wallet[made].inputs
    world.mine(order, made)
    height = 801 - confirmations
    world.node.wallet[made] = replace(
        world.node.wallet[made], inputs=inputs, confirmations=confirmations, block_height=height
    )
    for point in inputs:
        world.bitcoind.chain.pop((point.txid, point.index), None)


def state(order: ChannelOrder) -> str:
    return str(ChannelOrder.objects.get(pk=order.pk).state)


def test_a_payer_is_known_from_the_moment_the_deposit_is_seen_and_rejected_once_it_counts(world: World) -> None:
    order = OrderFactory()
    made = paid(world, order)
    ban()
    world.look(order)
    assert OnchainPayment.objects.get().payers == [address_script(PAYER)] and state(order) == OrderState.CREATED
    mine(world, order, made)
    world.look(order)
    assert state(order) == OrderState.REJECTED


def test_control_who_is_not_listed_has_paid(world: World) -> None:
    order = OrderFactory()
    made = paid(world, order)
    world.look(order)
    mine(world, order, made)
    world.look(order)
    assert state(order) == OrderState.PAID


def test_whom_nobody_can_tell_is_waited_for_until_the_deposit_is_final_and_no_longer(world: World) -> None:
    """A chain source that was away must not be a way past the list, nor keep anybody's money."""
    order = OrderFactory()
    made = paid(world, order)
    ban()
    mine(world, order, made)
    world.look(order)
    assert (state(order), OnchainPayment.objects.get().payers) == (OrderState.CREATED, None)
    mine(world, order, made, confirmations=FINAL)
    world.look(order)
    assert state(order) == OrderState.PAID


def test_dust_of_somebody_whom_nobody_can_tell_keeps_no_order_whose_payer_is_known(world: World) -> None:
    """Else a stranger who sees its address holds it up, deposit by deposit, for as long as he likes."""
    order = OrderFactory()
    made = paid(world, order)
    banning.add(BanKind.PAYER, regtest_address(92), reason="another", actor=actors.staff("ada"))
    world.look(order)
    mine(world, order, made)
    _dust(world, order)
    world.look(order)
    assert OnchainPayment.objects.filter(payers__isnull=True).count() == 1
    assert state(order) == OrderState.PAID


def test_control_what_is_known_must_pay_all_of_it_and_be_deep(world: World) -> None:
    order = OrderFactory()
    paid(world, order)
    banning.add(BanKind.PAYER, regtest_address(92), reason="another", actor=actors.staff("ada"))
    world.look(order)
    _dust(world, order, order.order_total_sat)
    world.look(order)
    assert state(order) == OrderState.CREATED


def _dust(world: World, order: ChannelOrder, amount_sat: int = 600) -> None:
    """In a block, of a coin of which the source knows nothing."""
    name = txid(f"dust {order.pk}")
    output = TxOutput(0, str(order.deposit_address), amount_sat, True)
    world.node.wallet[name] = replace(
        mined(name, confirmations=1, height=800, inputs=[Outpoint(txid("unknown"), 0)]),
        at=int(time.time()),
        outputs=(output,),
    )


def test_nobody_waits_where_nobody_is_listed_or_no_source_is_set(world: World, settings: Any) -> None:
    order = OrderFactory()
    made = paid(world, order)
    mine(world, order, made)
    world.look(order)
    assert state(order) == OrderState.PAID
    ban()
    settings.CHAIN_RPC = None
    another = OrderFactory()
    mine(world, another, paid(world, another))
    world.look(another)
    assert state(another) == OrderState.PAID


def test_a_source_with_an_index_tells_of_mined_deposits_too(world: World) -> None:
    order = OrderFactory()
    made = paid(world, order)
    coin = txid(f"coin {order.pk}")
    mine(world, order, made)
    world.bitcoind.spend(coin, [], [order.order_total_sat])
    world.bitcoind.mempool[coin]["confirmations"] = 7
    ban()
    world.look(order)
    assert state(order) == OrderState.REJECTED


def test_a_source_that_talks_nonsense_of_a_coin_is_as_one_that_does_not_know(world: World) -> None:
    order = OrderFactory()
    paid(world, order)
    world.bitcoind.scripts[txid(f"coin {order.pk}"), 0] = "no hex"
    payers.look(order)
    world.look(order)
    assert OnchainPayment.objects.get().payers is None


def test_the_biggest_deposit_is_asked_about_first(world: World) -> None:
    """Who pays with a hundred grains of dust besides is known all the same."""
    order = OrderFactory()
    paid(world, order)
    world.look(order)
    OnchainPayment.objects.update(payers=None)
    row = OnchainPayment.objects.get()
    for n in range(9):
        OnchainPayment.objects.create(
            order=order, txid=txid(f"dust {n}"), vout=0, amount_sat=600, seen_at=row.seen_at, inputs=[f"{txid(n)}:0"]
        )
    payers.look(order)
    assert OnchainPayment.objects.get(pk=row.pk).payers == [address_script(PAYER)]


@pytest.mark.parametrize(
    "said", [{}, {"scriptPubKey": {}}, {"scriptPubKey": {"hex": 5}}, {"scriptPubKey": {"hex": "5"}}]
)
def test_what_is_no_output_is_unreadable(said: dict[str, Any]) -> None:
    bitcoind = Bitcoind()
    bitcoind.instead = lambda calls: [{"id": call["id"], "result": said} for call in calls]
    with running(bitcoind) as url, pytest.raises(Unreadable):
        ChainNode(Access.parse(url)).scripts([("ab" * 32, 0)], in_time())
