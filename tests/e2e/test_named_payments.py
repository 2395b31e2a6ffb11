"""Payments to invoices that nobody subscribes to: channel events name them, and each is seen without a reconcile."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lightning.errors import NodeUnavailable
from orders.models import Heartbeat, HoldInvoice
from orders.states import InvoiceState
from streams import invoices, process
from streams.invoices import Trust
from tests.e2e.shop import Shop
from tests.regtest.waiting import until
from tests.streams.conftest import Running, listening
from tests.streams.test_real_nodes import Accepted, StreamsProcess

#: More than one of the payer's two channels bears, and less than both.
_FOR_TWO_CHANNELS = {"remote_balance": 400_000}
_CHANNEL_SAT = 300_000
#: The node holds a payment some 50 ms after its payer's commitment: it has to be stopped in between.
_TRIES = 20


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invoices, "_COMPARE_SECONDS", 0.5)
    monkeypatch.setattr(invoices, "_NEW", timedelta(0))
    monkeypatch.setattr(invoices, "_EVENT_LATE", timedelta(0))
    monkeypatch.setattr(process, "_BEAT_SECONDS", 0.5)


@pytest.fixture
def streams(shop: Shop, quick: None) -> Iterator[Running]:
    """Its node's events have shown that they name payments."""
    with listening() as running:
        first = shop.buy()
        shop.wallet.pay(first["ln_invoice"])
        until_held(first)
        until(lambda: _invoices(running).trust is Trust.PROVEN, "the events are relied on")
        yield running
    gc.collect()  # the ended threads' connections to the database


def _invoices(running: Running) -> Any:
    return running.process._node.invoices


def until_held(quote: dict[str, Any]) -> None:
    rows = HoldInvoice.objects.filter(order=quote["order_id"])
    until(lambda: rows.get().state == InvoiceState.HELD, "the payment is seen held")


def sold(shop: Shop, running: Running, **body: Any) -> dict[str, Any]:
    """An order whose invoice nobody subscribes to."""
    quote: dict[str, Any] = shop.buy(**body)
    order_ids = map(str, _invoices(running)._followed)
    assert quote["order_id"] not in order_ids
    return quote


def half_msat(quote: dict[str, Any]) -> int:
    return int(quote["total_amount"]) * 500


def test_whole_in_parts_or_too_much_it_is_seen(shop: Shop, streams: Running) -> None:
    whole, parts, more = (sold(shop, streams) for _ in range(3))
    shop.wallet.pay(whole["ln_invoice"])
    until_held(whole)
    shop.wallet.pay(parts["ln_invoice"], max_parts=4, max_shard_size_msat=half_msat(parts))
    until_held(parts)
    shop.wallet.pay_amount(more["ln_invoice"], 3 * half_msat(more))
    until_held(more)
    assert _invoices(streams).trust is Trust.PROVEN


def test_the_second_of_two_payers_parts_is_seen(shop: Shop, streams: Running) -> None:
    quote = sold(shop, streams)
    for _ in range(2):
        shop.wallet.pay_part(quote["ln_invoice"], half_msat(quote))
    until_held(quote)


def test_a_rest_that_comes_after_a_start_of_ours_is_seen(shop: Shop, quick: None) -> None:
    """No event tells of the part that is there: so what was sold before is subscribed to."""
    quote = shop.buy()
    shop.wallet.pay_part(quote["ln_invoice"], half_msat(quote))
    until(lambda: shop.node.invoice(_hash(quote)).held_msat == half_msat(quote), "the node has the part")
    with listening() as running:
        shop.wallet.pay_part(quote["ln_invoice"], half_msat(quote))
        until_held(quote)
        assert _invoices(running).trust is not Trust.MISSING
    gc.collect()


def test_what_was_paid_while_nobody_listened_is_seen(shop: Shop, quick: None) -> None:
    quote = shop.buy()
    shop.wallet.pay(quote["ln_invoice"])
    until(lambda: shop.node.invoice(_hash(quote)).held_msat, "the node holds it")
    with listening():
        until_held(quote)
    gc.collect()


@pytest.fixture
def pay_over_two(shop: Shop, add_own: Any) -> Callable[[dict[str, Any]], None]:
    """Somebody pays over two channels, as one does not suffice."""
    payer, lsp = add_own(funded_sat=2 * _CHANNEL_SAT, coins=2), shop.network.lsp
    for _ in range(2):
        payer.open_channel(lsp, _CHANNEL_SAT)

    def pay(quote: dict[str, Any]) -> None:
        payer.pay(quote["ln_invoice"], max_parts=4)
        until(lambda: shop.node.invoice(_hash(quote)).held_msat, "the node holds it")
        bearing = [each for each in lsp.channels(payer) if bytes.fromhex(_hash(quote)) in _hashes(each)]
        assert len(bearing) == 2

    return pay


def _hashes(channel: Any) -> set[bytes]:
    return {htlc.hash_lock for htlc in channel.pending_htlcs}


def test_what_comes_over_two_channels_is_seen(
    shop: Shop, pay_over_two: Callable[[dict[str, Any]], None], streams: Running
) -> None:
    quote = sold(shop, streams, **_FOR_TWO_CHANNELS)
    pay_over_two(quote)
    until_held(quote)
    assert _invoices(streams).trust is Trust.PROVEN
    shop.node.cancel_invoice(_hash(quote))  # its payer is gone after the test


def test_a_rest_that_comes_after_a_start_of_the_node_is_seen(shop: Shop, streams: Running) -> None:
    """The node says nothing of the part that it takes up again."""
    quote = sold(shop, streams)
    shop.wallet.pay_part(quote["ln_invoice"], half_msat(quote))
    until(lambda: shop.node.invoice(_hash(quote)).held_msat == half_msat(quote), "the node has the part")
    shop.network.lsp.restart()
    until(lambda: _is_there(shop), "the payer is back")
    until(lambda: shop.node.invoice(_hash(quote)).held_msat == half_msat(quote), "it has the part again")
    shop.wallet.pay_part(quote["ln_invoice"], half_msat(quote))
    until_held(quote)


def _is_there(shop: Shop) -> bool:
    """Both sides say so of a channel."""
    with suppress(NodeUnavailable):  # a moment ago
        return all(any(each.active for each in side.channels()) for side in (shop.node, shop.wallet))
    return False


@pytest.fixture
def killed_before_it_holds(shop: Shop) -> Callable[[Callable[[], dict[str, Any]]], dict[str, Any]]:
    """Kills the node when a payer has committed to a payment, and its invoice is not held yet; whose it is."""

    def kill(sell: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        lsp = shop.network.lsp
        for _ in range(_TRIES):
            quote = sell()
            if _stopped_in_between(shop, quote):
                lsp.kill()
                return quote
            lsp.resume()
        raise AssertionError("the node was quicker each time")

    return kill


def _stopped_in_between(shop: Shop, quote: dict[str, Any]) -> bool:
    lsp, payment_hash = shop.network.lsp, bytes.fromhex(_hash(quote))
    held = Accepted(shop, quote)
    events = lsp.stream("lnrpc.Lightning/SubscribeChannelEvents", timeout=60)
    time.sleep(0.3)  # they do not say when they have begun
    shop.wallet.pay(quote["ln_invoice"])
    next(event for event in events if payment_hash in _hashes(event.updated_channel.channel))
    lsp.pause()
    time.sleep(0.2)  # so long what it has said is on its way
    return held.at is None


def test_what_the_node_had_no_time_to_hold_is_seen_when_it_is_back(
    shop: Shop, streams: Running, killed_before_it_holds: Callable[[Callable[[], dict[str, Any]]], dict[str, Any]]
) -> None:
    quote = killed_before_it_holds(lambda: sold(shop, streams))
    assert HoldInvoice.objects.get(order=quote["order_id"]).state == InvoiceState.OPEN
    shop.network.lsp.start()
    until(lambda: _is_there(shop), "the payer is back")
    until(lambda: shop.node.invoice(_hash(quote)).held_msat, "the node holds it")
    until_held(quote)


#: As `quick`, in a process of its own.
_PROGRAM = """
import django
django.setup()
from datetime import timedelta
from streams import invoices, process
invoices._COMPARE_SECONDS, invoices._NEW, invoices._EVENT_LATE = 0.5, timedelta(0), timedelta(0)
process._BEAT_SECONDS = 0.5
from django.core.management import call_command
call_command("run_streams")
"""


@contextmanager
def stopping(environment: dict[str, str], log: Path) -> Iterator[StreamsProcess]:
    """A streams process of its own, which can be stopped."""
    process = StreamsProcess(environment, log, ("-c", _PROGRAM))
    try:
        process.wait_for("the node is listened to")
        yield process
    finally:
        process.end()


@pytest.mark.parametrize("seconds", [1.0, pytest.param(20.0, marks=pytest.mark.long)])
def test_what_was_paid_while_we_stood_still_is_seen(
    shop: Shop, server_environment: dict[str, str], tmp_path: Path, seconds: float
) -> None:
    with stopping(server_environment, tmp_path / "streams.log") as streams:
        first = shop.buy()
        shop.wallet.pay(first["ln_invoice"])
        until_held(first)
        until(lambda: "events=proven" in Heartbeat.objects.get(name="streams").detail, "the events are relied on")
        whole, parts, rest = (shop.buy() for _ in range(3))
        shop.wallet.pay_part(rest["ln_invoice"], half_msat(rest))
        until(lambda: shop.node.invoice(_hash(rest)).held_msat, "the node has the part")

        streams.process.send_signal(signal.SIGSTOP)
        stopped_at = time.monotonic()
        shop.wallet.pay(whole["ln_invoice"])
        shop.wallet.pay(parts["ln_invoice"], max_parts=4, max_shard_size_msat=half_msat(parts))
        shop.wallet.pay_part(rest["ln_invoice"], half_msat(rest))
        quotes = (whole, parts, rest)
        until(lambda: {shop.node.invoice(_hash(quote)).state for quote in quotes} == {"accepted"}, "all are held")
        time.sleep(max(0.0, seconds - (time.monotonic() - stopped_at)))
        assert {_seen(quote) for quote in quotes} == {InvoiceState.OPEN}

        streams.process.send_signal(signal.SIGCONT)
        for quote in quotes:
            until_held(quote)


def _seen(quote: dict[str, Any]) -> str:
    return HoldInvoice.objects.get(order=quote["order_id"]).state


def _hash(quote: dict[str, Any]) -> str:
    return HoldInvoice.objects.get(order=quote["order_id"]).payment_hash
