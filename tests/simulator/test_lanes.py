"""Peers that waste our time, on the simulated node: whoever is honest waits for none of them.

With the settings as they come, and the real processes; then each guard for itself in a process of the test's own, with
a control that takes it out.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django_q.tasks import async_task

from lightning.proto import walletrpc_pb2 as walletrpc
from lightning.proto.walletrpc_pb2_grpc import WalletKitStub
from orders.models import ChannelOpening, ChannelOrder, OrderEvent
from orders.openings import funding, turns
from orders.openings.turns import Limits
from streams import dials, lanes
from streams.jobs import advance_if_due
from streams.slots import Patience
from tests.e2e.shop import Shop
from tests.regtest.waiting import NeverHappened, until
from tests.simulator.network import SimulatedNetwork, SimulatedPeer
from tests.strangers import (
    all_recorded,
    begun,
    by_default,
    claim_all,
    dead,
    failed,
    oldest_heartbeat_seconds,
    paid,
    process,
    recorded_by_us,
    seconds,
    swallowing,
)
from tests.streams.conftest import Running

DEAD, STALLING = 70, 24
#: Long enough for what would happen at once, and shorter than any peer is waited for.
SOON = 8.0


#: What the node's wallet has from the beginning.
COINS = 5
few_coins = pytest.mark.parametrize("network", [0], indirect=True, ids=["few-coins"])


@pytest.fixture
def network(request: pytest.FixtureRequest) -> Iterator[SimulatedNetwork]:
    """A new one for each test, whose wallet has a coin for everybody, unless it asks for few: who stalls leases one."""
    more = getattr(request, "param", 60)
    with SimulatedNetwork() as running:
        if more:
            running.chain.pay([(running.lsp.new_address(), 2_000_000) for _ in range(more)])
        running.mine(6)
        yield running


def stalling(network: SimulatedNetwork, count: int = STALLING) -> list[str]:
    """Nodes that take a connection and then say nothing: half of them to the offer, half when they should sign."""
    ways: tuple[dict[str, Any], ...] = ({"withholds_answer": True}, {"withholds_signature": True})
    return [network.lsp.add_peer(**ways[number % 2]).p2p_address for number in range(count)]


# All of them, against the real processes


def test_behind_seventy_dead_hosts_and_twenty_four_peers_that_stall_nobody_waits(
    shop: Shop, network: SimulatedNetwork, server_environment: dict[str, str], tmp_path: Path
) -> None:
    environment, wallets = by_default(server_environment), [network.lsp.add_peer() for _ in range(3)]
    with swallowing() as host, process(environment, tmp_path / "streams.log", "run_streams"):
        hostile = paid(shop, DEAD + STALLING, client="hostile")
        honest = paid(shop, len(wallets), client="honest")
        until(lambda: all_recorded([*hostile, *honest]), "all payments are recorded", timeout=60)
        claim_all(shop, hostile, [*dead(DEAD, host), *stalling(network)])
        for quote, wallet in zip(honest, wallets, strict=True):
            shop.claim(quote, wallet)
            took = seconds(lambda quote=quote: begun([quote]) == 1, "the honest opening began", timeout=SOON)
            [late] = paid(shop, 1, client="late")
            recording = seconds(lambda late=late: all_recorded([late]), "a held payment was recorded", timeout=SOON)
            print(f"an opening began after {took:.1f} s, a held payment was recorded after {recording:.1f} s")
        until(lambda: begun(hostile) == STALLING, "each that stalls had its attempt", timeout=60)
        assert max(oldest_heartbeat_seconds().values()) < 70
        assert {"streams", "looks", "openings"} <= oldest_heartbeat_seconds().keys()


def test_who_comes_last_of_all_that_came_while_nobody_worked_has_his_turn_before_the_first_dead_host_is_given_up(
    shop: Shop, network: SimulatedNetwork, server_environment: dict[str, str], tmp_path: Path
) -> None:
    hostile, honest = paid(shop, DEAD + STALLING, client="hostile"), paid(shop, 1, client="honest")
    recorded_by_us(shop)
    with swallowing() as host:
        claim_all(
            shop, [*hostile, *honest], [*dead(DEAD, host), *stalling(network), network.lsp.add_peer().p2p_address]
        )
        with process(by_default(server_environment), tmp_path / "streams.log", "run_streams"):
            until(lambda: begun(honest) == 1, "the honest opening began", timeout=40, pause=0.02)
            assert failed(hostile) == 0


def test_the_worker_alone_keeps_its_rounds_and_opens_for_the_honest(
    shop: Shop, network: SimulatedNetwork, server_environment: dict[str, str], tmp_path: Path
) -> None:
    dead_hosts, silent = DEAD // 2, STALLING // 2
    hostile, honest = paid(shop, dead_hosts + silent, client="hostile"), paid(shop, 1, client="honest")
    recorded_by_us(shop)
    with swallowing() as host:
        nodes = [*dead(dead_hosts, host), *stalling(network, silent), network.lsp.add_peer().p2p_address]
        claim_all(shop, [*hostile, *honest], nodes)
        with process(by_default(server_environment), tmp_path / "worker.log", "qcluster"):
            async_task("orders.tasks.reconcile_all")  # what the schedule does each minute
            until(lambda: begun(honest) == 1, "the honest opening began", timeout=60)
            [late] = paid(shop, 1, client="late")
            async_task("orders.tasks.reconcile_all")
            recording = seconds(lambda: all_recorded([late]), "the next pass records what is held", timeout=30)
            print(f"a held payment was recorded {recording:.1f} s after a pass was due")
            until(lambda: begun(hostile) == silent, "each that stalls had its attempt", timeout=60)
            assert max(oldest_heartbeat_seconds().values()) < 70
            assert oldest_heartbeat_seconds().keys() == {"reconcile", "openings"}


# Each guard for itself


@pytest.fixture
def streams(shop: Shop, settings: Any) -> Iterator[Callable[..., Running]]:
    """Starts a streams process within the test's, where guards can be taken out of it."""
    running: list[Running] = []

    def start(openings: int = 8) -> Running:
        settings.PARALLEL_OPENINGS = openings
        running.append(Running(threads=4))
        return running[-1]

    yield start
    for each in running:
        each.process._lanes.in_loop(each.process._lanes.let_go)
        each.stop()
    gc.collect()  # the ended threads' connections to the database


def bought(shop: Shop, addresses: list[str], *, client: str = "hostile", **changes: Any) -> list[dict[str, Any]]:
    """Orders that are paid and claimed for these nodes."""
    quotes = paid(shop, len(addresses), client=client)
    recorded_by_us(shop)
    until(lambda: all_recorded(quotes), "they are recorded, by us or by the process that looks at them just now")
    claim_all(shop, quotes, addresses)
    if changes:
        ChannelOrder.objects.filter(pk__in=[quote["order_id"] for quote in quotes]).update(**changes)
    return quotes


def soon(quotes: list[dict[str, Any]], *, guard: bool) -> bool:
    """Whether each of these orders has an attempt soon; a control waits for nothing, and needs not wait as long."""
    try:
        until(lambda: begun(quotes) == len(quotes), "they have", timeout=SOON if guard else SOON / 2)
    except NeverHappened:
        return False
    return True


@pytest.mark.parametrize("guard", [True, False])
def test_no_look_stands_behind_dead_hosts(
    shop: Shop, network: SimulatedNetwork, streams: Any, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """Control: each look waits for its peer itself, and the threads are gone; two of four are for first attempts."""
    waiting: list[UUID] = []

    def looks(self: Any, order_id: UUID) -> None:
        waiting.append(order_id)
        advance_if_due(order_id)

    if not guard:
        monkeypatch.setattr(lanes.Lanes, "_look", looks)
        monkeypatch.setattr(dials.Dials, "ask", lambda self, order: self._ended(order.order_id, order.node, True, None))
    with swallowing() as host:
        hostile = bought(shop, dead(12, host))
        streams()
        until(lambda: guard or len(waiting) >= 2, "no thread is left for who comes")
        assert not failed(hostile)
        assert soon(bought(shop, [network.lsp.add_peer().p2p_address], client="honest"), guard=guard) is guard


@pytest.mark.parametrize("guard", [True, False])
def test_a_node_that_is_named_by_its_key_alone_is_dialled_where_the_graph_has_it(
    shop: Shop, network: SimulatedNetwork, streams: Any, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """Control: the lane that dials asks no graph."""
    if not guard:
        monkeypatch.setattr(dials, "_known_host", lambda pubkey, tries: "")
    wallet = network.lsp.add_peer(is_announced=True)
    [quote] = bought(shop, [wallet.pubkey], client="honest")
    assert shop.order(quote).node_host == ""
    streams()
    if guard:
        delivered(shop, quote, wallet)
    else:
        until(lambda: shop.order(quote).last_failure_reason == "PEER_NOT_REACHABLE", "it is said to be away")
        assert begun([quote]) == 0


@pytest.mark.parametrize("guard", [True, False])
def test_a_place_is_kept_for_first_attempts(
    shop: Shop, network: SimulatedNetwork, streams: Any, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """Control: none is kept, and none gives way."""
    monkeypatch.setattr(lanes, "_PATIENCE", Patience(1000, 1000))
    if not guard:
        monkeypatch.setattr(turns, "limits", lambda at_once: Limits(at_once, at_once, at_once, at_once))
    hostile = bought(shop, stalling(network, 4), failed_openings=1, client_hash="")
    streams(openings=4)
    until(lambda: begun(hostile) == (3 if guard else 4), "as many as may have begun", timeout=20)
    assert soon(bought(shop, [network.lsp.add_peer().p2p_address], client="honest"), guard=guard) is guard


@pytest.mark.parametrize("guard", [True, False])
def test_who_only_waits_for_his_peers_word_gives_way(
    shop: Shop, network: SimulatedNetwork, streams: Any, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """Control: nobody does. At both points at which a peer can stall; what was begun is ended as after a time-out."""
    monkeypatch.setattr(lanes, "_PATIENCE", Patience(2, 2) if guard else Patience(1000, 1000))
    hostile = bought(shop, stalling(network, 2), client="")
    streams(openings=2)
    until(lambda: begun(hostile) == 2, "both stall", timeout=20)
    wallets = [network.lsp.add_peer(), network.lsp.add_peer()]
    honest = bought(shop, [wallet.p2p_address for wallet in wallets], client="honest")
    assert soon(honest, guard=guard) is guard
    if guard:
        ended = [ended_in_order(shop, quote) for quote in hostile]
        assert sorted(ended) == ["FUNDED", "NEGOTIATING"]
        for quote, wallet in zip(honest, wallets, strict=True):
            delivered(shop, quote, wallet)


@few_coins
@pytest.mark.parametrize("guard", [True, False])
def test_who_withholds_his_signature_keeps_no_coin_from_others(
    shop: Shop, network: SimulatedNetwork, streams: Any, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """More peers stall than there are coins. Control: who finds none waits by himself."""
    monkeypatch.setattr(lanes, "_PATIENCE", Patience(2, 2))
    if not guard:
        monkeypatch.setattr(lanes.LaneTurn, "wait_for_coins", lambda self, order: None)
    silent = [network.lsp.add_peer(withholds_signature=True).p2p_address for _ in range(COINS + 2)]
    hostile = bought(shop, silent)
    streams()
    until(lambda: begun(hostile) >= COINS, "all coins are leased", timeout=20)
    [honest] = bought(shop, [(wallet := network.lsp.add_peer()).p2p_address], client="honest")
    assert soon([honest], guard=guard) is guard
    if guard:
        delivered(shop, honest, wallet)


@few_coins
@pytest.mark.parametrize("guard", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_coin_is_kept_for_first_attempts(
    shop: Shop, network: SimulatedNetwork, streams: Any, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """Control: none is, and none gives way."""
    monkeypatch.setattr(lanes, "_PATIENCE", Patience(1000, 1000))
    if not guard:
        monkeypatch.setattr(funding, "_are_kept", lambda *_: False)
    streams()
    for number in range(COINS):  # one after another: who begins together with others may find them free
        silent = network.lsp.add_peer(withholds_signature=True).p2p_address
        [hostile] = bought(shop, [silent], failed_openings=1, client_hash="")
        if guard and number == COINS - 1:
            until(lambda last=hostile: shop.order(last).last_failure_reason == "LSP_BUSY", "it waits", timeout=20)
        else:
            until(lambda number=number: leased(network) == number + 1, "it has leased a coin", timeout=20)
    wallet = network.lsp.add_peer()
    [honest] = bought(shop, [wallet.p2p_address], client="honest")
    assert soon([honest], guard=guard) is guard
    if guard:
        delivered(shop, honest, wallet)


def leased(network: SimulatedNetwork) -> int:
    """How many coins of the node's are."""
    stub = WalletKitStub(network.lsp.control.channel)
    return len(network.lsp.call(stub.ListLeases, walletrpc.ListLeasesRequest()).locked_utxos)


def ended_in_order(shop: Shop, quote: dict[str, Any]) -> str:
    """How far its first attempt had come; it is over, and nothing of it is left at the node."""
    first = ChannelOpening.objects.get(order=quote["order_id"], attempt=1)
    assert (first.state, first.failure_reason) == ("failed", "PEER_NOT_REACHABLE")
    causes = [cause for cause in shop.journal(quote) if cause.startswith("opening")]
    order = ["opening_begun", "opening_funded", "opening_silent", "opening_cancelling", "opening_failed"]
    was_funded = first.transaction_id is not None
    assert causes[: len(order) - (not was_funded)] == [cause for cause in order if was_funded or "funded" not in cause]
    assert OrderEvent.objects.filter(order=quote["order_id"], cause="opening_failed", facts__attempt=1).exists()
    return "FUNDED" if was_funded else "NEGOTIATING"


def delivered(shop: Shop, quote: dict[str, Any], wallet: SimulatedPeer) -> None:
    def there() -> bool:
        shop.network.mine(1)
        return shop.order(quote).state == "open"

    until(there, "the channel is open", timeout=60, pause=0.5)
    shop.assert_delivered(quote, wallet)
