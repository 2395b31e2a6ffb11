"""Payments that channel events name, on the simulator; and a node whose events leave them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from orders import reconcile
from orders.models import Heartbeat
from streams import node as streams_node
from streams.invoices import Invoices, Trust
from tests.e2e.shop import Shop
from tests.e2e.test_named_payments import *  # noqa: F403
from tests.e2e.test_named_payments import _CHANNEL_SAT, _hash, _invoices, _is_there, _seen, sold, until_held
from tests.regtest.waiting import NeverHappened, until
from tests.streams.conftest import Running
from watch.doctor import examination
from watch.doctor.finding import Health


@pytest.fixture
def pay_over_two(shop: Shop) -> Callable[[dict[str, Any]], None]:
    """Here payers come by a channel that no list shows: each part is told of by itself all the same."""
    payer, lsp = shop.network.add_peer(), shop.network.lsp  # type: ignore[attr-defined]
    for _ in range(2):
        lsp.control.open_channel(payer.name, _CHANNEL_SAT, push_sat=_CHANNEL_SAT // 10 * 9)
    shop.network.mine(6)
    return lambda quote: payer.pay(quote["ln_invoice"], max_parts=2)


@pytest.fixture
def killed_before_it_holds(shop: Shop) -> Callable[[Callable[[], dict[str, Any]]], dict[str, Any]]:
    """As on a real node, whose few milliseconds it need not hit."""

    def kill(sell: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        quote = sell()
        shop.network.lsp.control.pay(quote["ln_invoice"], counts_after_start=True)
        assert shop.node.invoice(_hash(quote)).held_msat == 0
        shop.network.lsp.kill()
        return quote

    return kill


@pytest.fixture
def events_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events are relied on for all that was ever sold, and nobody looks when the node is back."""
    monkeypatch.setattr(Invoices, "_relied_upon_since", lambda _: datetime.min.replace(tzinfo=UTC))
    monkeypatch.setattr(streams_node, "_new_block", lambda: None)


def test_control_by_events_alone_it_is_not(
    shop: Shop,
    streams: Running,
    killed_before_it_holds: Callable[[Callable[[], dict[str, Any]]], dict[str, Any]],
    events_alone: None,
) -> None:
    quote = killed_before_it_holds(lambda: sold(shop, streams))
    shop.network.lsp.start()
    until(lambda: _is_there(shop), "the payer is back")
    until(lambda: shop.node.invoice(_hash(quote)).held_msat, "the node holds it")
    until(lambda: streams.process._node.is_up, "the node is listened to")
    with pytest.raises(NeverHappened):
        until(lambda: _seen(quote) != "open", "the payment is seen", timeout=2)


@pytest.fixture
def silent(shop: Shop, streams: Running) -> Iterator[Running]:
    """From now on the node's events leave payments out."""
    shop.network.lsp.control.tell_of_parts(False)
    yield streams
    shop.network.lsp.control.tell_of_parts(True)


def test_where_events_leave_a_payment_out_the_net_finds_it_and_the_next_is_seen_at_once(
    shop: Shop, silent: Running
) -> None:
    first = shop.buy()
    shop.wallet.pay(first["ln_invoice"])
    reconcile.reconcile()
    until_held(first)
    until(lambda: _invoices(silent).trust is Trust.MISSING, "the events are relied on no more")
    second = shop.buy()
    shop.wallet.pay(second["ln_invoice"])
    until_held(second)
    until(lambda: "events=missing" in Heartbeat.objects.get(name="streams").detail, "its heartbeat says so")
    [told] = [finding for finding in examination.quick() if finding.name == "streams"]
    assert told.health is Health.WARNING and "channel events leave payments out" in told.seen
