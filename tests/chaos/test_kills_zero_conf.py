"""kill -9 at every step of a zero-conf opening, on real nodes: what was received over the channel stays received."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orders.models import ChannelOrder
from orders.openings import cancelling, publishing, silent, tracing
from orders.states import InvoiceState, OpeningState, OrderState
from tests.chaos.conftest import Engine
from tests.chaos.test_kills import assert_whole, finish
from tests.chaos.test_losses import advance_until
from tests.e2e.shop import Shop
from tests.regtest.fixtures import AddPeer
from tests.regtest.lnd import Lnd
from tests.regtest.payment import SUCCEEDED, Payment
from tests.regtest.waiting import until

Quote = dict[str, Any]

#: In the order of such an opening; COMMITTED is recorded after the last lease, PUBLISHING after the outpoint.
STEPS = ("fund_psbt", "finalize_psbt", "lease", "verify_psbt", "pending_outpoint", "publish", "settle_invoice")
POINTS = [f"{when} {step}" for step in STEPS for when in ("before", "after")]
#: The channel is there from then on.
USABLE = POINTS[POINTS.index("after pending_outpoint") :]
#: Around COMMITTED, the peer's signature and PUBLISHING: in every run. The rest in the long one.
_EVERY_RUN = {"after pending_outpoint", "before publish"}
KNIFE_EDGES = ("before verify_psbt", "after verify_psbt", "after pending_outpoint")

RECEIVED_SAT = 20_000


@pytest.fixture
def phone(shop: Shop, add_peer: AddPeer) -> Iterator[Lnd]:
    """A wallet that takes zero-conf channels."""
    shop.network.mine(6)  # what earlier tests have published gives its change back
    wallet = add_peer()
    with wallet.accepting_zero_conf():
        yield wallet


def begin(shop: Shop, engine: Engine, point: str, phone: Lnd) -> tuple[Quote, Payment]:
    """A paid order for a channel of no confirmations, whose opening has come to `point`."""
    quote = shop.buy(node_uri=phone.p2p_address)
    ChannelOrder.objects.filter(pk=quote["order_id"]).update(required_channel_confirmations=0)
    payment = shop.pay(quote)
    engine.start(quote, point)
    try:
        engine.wait_reached()
    except TimeoutError:
        raise AssertionError(engine.log() + shop.story(quote)) from None
    return quote, payment


def receive(shop: Shop, phone: Lnd) -> int:
    """Somebody pays the phone over what it has; how much it has got."""
    invoice = until(lambda: hinted(phone), "the phone knows a way to itself", timeout=30)
    payment = shop.wallet.pay(invoice)
    assert payment.wait() == SUCCEEDED, f"{payment.failure}\n{seen(shop, phone)}"
    return RECEIVED_SAT


def hinted(phone: Lnd) -> str:
    """An invoice that names the phone's channel, which nobody else knows; "" while its peer has told nothing of it."""
    invoice = phone.invoice(RECEIVED_SAT, private=True)
    return invoice if phone.call("lnrpc.Lightning/DecodePayReq", pay_req=invoice).route_hints else ""


def usable(phone: Lnd) -> bool:
    return any(channel.active for channel in phone.channels())


def until_usable(shop: Shop, phone: Lnd) -> None:
    try:
        until(lambda: usable(phone), "the channel is usable, whoever died")
    except TimeoutError as never:
        raise AssertionError(f"{never}\n{seen(shop, phone)}") from None


def seen(shop: Shop, phone: Lnd) -> str:
    """By both nodes."""
    lsp = shop.network.lsp
    return f"{lsp.channels(phone)}\n{lsp.log_tail(40)}\n\n{phone.channels()}\n{phone.log_tail(40)}"


def assert_received(shop: Shop, quote: Quote, phone: Lnd, received_sat: int) -> None:
    """It is in the channel that was delivered, whose funding is in the chain.

    The payer has the preimage before both sides have signed what it leaves: a node that was killed then is told again.
    """
    until(lambda: shop.channel_at(phone, quote).local_balance >= received_sat, f"{received_sat} sat are there")
    assert shop.opening(quote).zero_conf and shop.opening(quote).state == OpeningState.CONFIRMED
    assert len(phone.channels()) == 1


def test_it_is_received_over_a_bought_channel_before_any_block(shop: Shop, phone: Lnd) -> None:
    quote = shop.buy(node_uri=phone.p2p_address)
    ChannelOrder.objects.filter(pk=quote["order_id"]).update(required_channel_confirmations=0)
    payment, height = shop.pay(quote), shop.network.chain.height
    shop.run(quote, OrderState.OPEN)
    until_usable(shop, phone)
    received_sat = receive(shop, phone)
    assert shop.network.chain.height == height
    finish(shop, quote)
    assert_whole(shop, quote, payment, phone)
    assert_received(shop, quote, phone, received_sat)


def test_our_process_killed_at_each_step_keeps_what_was_received(
    shop: Shop, engine: Engine, point: str, phone: Lnd
) -> None:
    quote, payment = begin(shop, engine, point, phone)
    engine.kill()
    if point in USABLE:
        until_usable(shop, phone)
    received_sat = receive(shop, phone) if usable(phone) else 0
    finish(shop, quote)
    assert_whole(shop, quote, payment, phone)
    assert_received(shop, quote, phone, received_sat)


def test_lnd_and_we_killed_at_each_step_keep_what_was_received(
    shop: Shop, engine: Engine, edge: str, phone: Lnd
) -> None:
    quote, payment = begin(shop, engine, edge, phone)
    if edge in USABLE:
        until_usable(shop, phone)
    received_sat = receive(shop, phone) if usable(phone) else 0
    engine.kill()
    shop.network.lsp.kill()
    shop.network.lsp.start()
    shop.network.wait_synced()
    finish(shop, quote)
    assert_whole(shop, quote, payment, phone)
    assert_received(shop, quote, phone, received_sat)


def run_out(shop: Shop, quote: Quote) -> None:
    """Blocks pass until the node itself has cancelled the held payment."""
    invoice = shop.order(quote).hold_invoice
    assert invoice.hold_expires_height is not None
    shop.network.mine(invoice.hold_expires_height - shop.node.info().block_height - 17)
    until(lambda: shop.node.invoice(invoice.payment_hash).state == "canceled", "lnd cancels by itself")


def test_a_hold_that_ran_out_while_we_were_down_takes_nothing_from_who_has_received(
    shop: Shop, engine: Engine, phone: Lnd
) -> None:
    quote, _ = begin(shop, engine, "after pending_outpoint", phone)
    engine.kill()
    until_usable(shop, phone)
    received_sat = receive(shop, phone)
    run_out(shop, quote)
    advance_until(shop, quote, lambda: "funding_confirmed" in shop.journal(quote), "delivered all the same")
    assert_received(shop, quote, phone, received_sat)
    order = shop.order(quote)
    assert (order.state, order.hold_invoice.state) == (OrderState.OPEN, InvoiceState.CANCELLED)
    assert order.needs_staff, "a channel that nobody has paid, and nobody is told"


@pytest.mark.long
def test_control_published_before_the_channel_is_known_the_funding_is_burnt(
    shop: Shop, engine: Engine, phone: Lnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote, _ = begin(shop, engine, "before verify_psbt", phone)
    engine.kill()
    for module in (tracing, publishing):
        monkeypatch.setattr(module, "is_anywhere", lambda node, outpoint: True)
    advance_until(shop, quote, lambda: "funding_confirmed" in shop.journal(quote), "in the chain")
    assert not phone.channels()  # its coins are in an output that nobody can sign for


def test_control_abandoned_instead_of_published_what_was_received_is_gone(
    shop: Shop, engine: Engine, phone: Lnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote, _ = begin(shop, engine, "after pending_outpoint", phone)
    engine.kill()
    until_usable(shop, phone)
    received_sat = receive(shop, phone)

    def cancelled(live: Any, node: Any) -> None:
        cancelling.cancel(live.order_id, node, reason="NODE_NOT_READY", only=live.pk, never_was=True)

    monkeypatch.setattr(silent, "_keep_or_end", cancelled)
    monkeypatch.setattr(cancelling, "_may_be_in_use", lambda order, opening, node: False)
    finish(shop, quote)
    channel = shop.channel_at(phone, quote)
    assert channel is None or channel.local_balance < received_sat


@pytest.fixture(params=[p if p in _EVERY_RUN else pytest.param(p, marks=pytest.mark.long) for p in POINTS])
def point(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[*(pytest.param(edge, marks=pytest.mark.long) for edge in KNIFE_EDGES[:2]), KNIFE_EDGES[2]])
def edge(request: pytest.FixtureRequest) -> str:
    return str(request.param)
