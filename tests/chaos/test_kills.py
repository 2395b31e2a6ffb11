"""kill -9 at every step of an opening, on real nodes: no channel twice, no payment lost, nothing left behind."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest

from orders import marks
from orders.models import ChannelOrder, OrderEvent
from orders.states import InvoiceState
from tests.chaos.conftest import Engine
from tests.chaos.hooked import STEPS
from tests.e2e.shop import Shop
from tests.regtest.fixtures import AddPeer
from tests.regtest.lnd import Lnd
from tests.regtest.payment import SUCCEEDED, Payment
from tests.regtest.waiting import until

POINTS = [f"{when} {step}" for step in STEPS for when in ("before", "after")]
#: Where most can go wrong: tried in every run of the tests, at one of them with everything else dying too. The rest in
#: the long run.
KNIFE_EDGES = ("after verify_psbt", "before publish")
_EVERY_RUN = {*KNIFE_EDGES, "after finalize_psbt", "before settle_invoice"}


def _points(short: Iterable[str]) -> list[Any]:
    return [point if point in short else pytest.param(point, marks=pytest.mark.long) for point in POINTS]


def _every_run(*short: str) -> Any:
    """Starting nodes anew takes long: one edge each time, the others in the long run."""
    return pytest.mark.parametrize("edge", _points(short))


def test_our_process_killed_at_each_step_costs_nothing(shop: Shop, engine: Engine, point: str) -> None:
    quote, payment = begin(shop, engine, point)
    engine.kill()
    finish(shop, quote)
    assert_whole(shop, quote, payment)


@_every_run("before publish")
def test_lnd_killed_at_each_step_costs_nothing(shop: Shop, engine: Engine, edge: str) -> None:
    quote, payment = begin(shop, engine, edge)
    shop.network.lsp.kill()
    engine.let_go()
    shop.network.lsp.start()
    shop.network.wait_synced()
    engine.kill()
    finish(shop, quote)
    assert_whole(shop, quote, payment)


@_every_run("after verify_psbt")
def test_both_killed_at_each_step_costs_nothing(shop: Shop, engine: Engine, edge: str) -> None:
    quote, payment = begin(shop, engine, edge)
    engine.kill()
    shop.network.lsp.kill()
    shop.network.lsp.start()
    shop.network.wait_synced()
    finish(shop, quote)
    assert_whole(shop, quote, payment)


@_every_run("after verify_psbt")
def test_the_peer_asleep_at_each_step_and_awake_later_costs_nothing(
    shop: Shop, engine: Engine, edge: str, add_peer: AddPeer
) -> None:
    """Its answers come late or never; our process dies waiting, and the rest is done while the peer still sleeps."""
    phone = add_peer("--maxpendingchannels=1")
    quote, payment = begin(shop, engine, edge, wallet=phone)
    phone.pause()
    engine.let_go()
    time.sleep(1)  # the node has sent what it has to send
    engine.kill()
    for _ in range(3):
        shop.hurry(quote)
        shop.turn()
    phone.resume()
    finish(shop, quote)
    assert_whole(shop, quote, payment, phone)
    until(lambda: not phone.pending_channels().pending_open_channels, "the peer has nothing pending")


def begin(shop: Shop, engine: Engine, point: str, wallet: Lnd | None = None) -> tuple[dict[str, object], Payment]:
    """A paid order whose opening has come to `point`."""
    quote = shop.buy(node_uri=(wallet or shop.wallet).p2p_address)
    payment = shop.pay(quote)
    engine.start(quote, point)
    try:
        engine.wait_reached()
    except TimeoutError:
        raise AssertionError(engine.log() + shop.story(quote)) from None
    return quote, payment


def finish(shop: Shop, quote: dict[str, object]) -> None:
    """Everything runs again, blocks come, until the funding is deep."""

    def done() -> bool:
        shop.hurry(quote)
        shop.turn()
        if shop.journal(quote)[-1:] == ["funding_confirmed"] or "funding_confirmed" in shop.journal(quote):
            return shop.order(quote).state == "open"
        shop.network.mine(1)
        return False

    try:
        until(done, "the order is open and its funding deep", timeout=90)
    except TimeoutError as never:
        raise AssertionError(f"{never}\n{shop.story(quote)}") from None


def assert_whole(shop: Shop, quote: dict[str, object], payment: Payment, wallet: Lnd | None = None) -> None:
    """One funding, one channel on both sides; settled exactly once; nothing leased; nothing pending."""
    shop.assert_delivered(quote, wallet)
    assert shop.order(quote).hold_invoice.state == InvoiceState.SETTLED
    assert OrderEvent.objects.filter(order=quote["order_id"], cause="payment_settled").count() == 1
    if payment.status() != "UNKNOWN":
        assert payment.wait() == SUCCEEDED
    order = ChannelOrder.objects.get(pk=str(quote["order_id"]))
    assert not [lease for lease in shop.node.leases() if lease.lock_id == marks.lock_id(order.pk)]
    assert not [pending for pending in shop.node.pending_channels() if pending.memo == str(order.pk)]


@pytest.fixture(params=_points(_EVERY_RUN))
def point(request: pytest.FixtureRequest) -> str:
    return str(request.param)
