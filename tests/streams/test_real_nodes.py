"""`manage.py run_streams` beside real nodes: nobody calls advance here, and no reconcile runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orders.models import Heartbeat, HoldInvoice, OrderEvent
from tests.e2e.conftest import server_environment, shop
from tests.e2e.shop import Shop
from tests.regtest.payment import SUCCEEDED
from tests.regtest.waiting import NeverHappened, until

__all__ = ["server_environment", "shop"]

ACCEPTED = 3
ROOT = Path(__file__).resolve().parents[2]


class StreamsProcess:
    """One process; its output goes to a file."""

    def __init__(
        self, environment: dict[str, str], log: Path, program: Sequence[str] = ("manage.py", "run_streams")
    ) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *program], env=environment, cwd=ROOT, stdout=output, stderr=output
            )

    def said(self, words: str) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return words in self.log.read_text()

    def wait_for(self, words: str) -> None:
        until(lambda: self.said(words), f"it says {words!r}", timeout=60)

    def end(self, number: int = signal.SIGKILL) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def begin(server_environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., StreamsProcess]]:
    """Starts streams processes that are gone after the test."""
    begun: list[StreamsProcess] = []

    def start(words: str = "the node is listened to", **settings: str) -> StreamsProcess:
        process = StreamsProcess(server_environment | settings, tmp_path / f"streams-{len(begun)}.log")
        begun.append(process)
        process.wait_for(words)
        return process

    yield start
    for each in begun:
        if each.process.poll() is None:
            each.end()


class Accepted(threading.Thread):
    """Notes when the node itself says that an invoice's payment is held."""

    def __init__(self, shop: Shop, quote: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        payment_hash = HoldInvoice.objects.get(order=quote["order_id"]).payment_hash
        self._invoice = shop.network.lsp.stream(
            "invoicesrpc.Invoices/SubscribeSingleInvoice", r_hash=bytes.fromhex(payment_hash)
        )
        self.at: datetime | None = None
        self.start()

    def run(self) -> None:
        for invoice in self._invoice:
            if invoice.state == ACCEPTED and self.at is None:
                self.at = datetime.now(UTC)


def happened(quote: dict[str, Any], cause: str) -> datetime:
    """When it happened, by the journal."""
    rows = OrderEvent.objects.filter(order=quote["order_id"], cause=cause)
    found = until(rows.first, f"the order has {cause}", timeout=60)
    assert found is not None
    return found.at


def wait_state(shop: Shop, quote: dict[str, Any], state: str, *, mine: bool = False) -> None:
    """The order comes to `state` by itself (and by blocks)."""

    def there() -> bool:
        if mine:
            shop.network.mine(1)
        return shop.order(quote).state == state

    try:
        until(there, f"the order is {state}", timeout=60, pause=0.2)
    except NeverHappened as never:
        raise AssertionError(f"{never}\n{shop.story(quote)}") from None


def test_a_payment_leads_to_a_channel_though_nobody_calls_advance(
    shop: Shop, begin: Callable[..., StreamsProcess]
) -> None:
    streams = begin()
    for _ in range(3):
        quote = shop.buy(node_uri=shop.wallet.p2p_address)
        accepted = Accepted(shop, quote)
        payment = shop.wallet.pay(quote["ln_invoice"])
        begun = happened(quote, "opening_begun")
        wait_state(shop, quote, "opening")
        assert payment.wait() == SUCCEEDED
        assert accepted.at is not None
        held = happened(quote, "lightning_payment_held")
        print(f"\nafter accepted: {_ms(accepted.at, held)} recorded, {_ms(accepted.at, begun)} opening begun")
        wait_state(shop, quote, "open", mine=True)
        shop.assert_delivered(quote)
    until(lambda: Heartbeat.objects.get(name="streams").detail.startswith("node=up"), "its heartbeat says so")
    assert streams.end(signal.SIGTERM) == 0


def _ms(earlier: datetime, later: datetime) -> str:
    return f"{(later - earlier).total_seconds() * 1000:.0f} ms"


def test_a_deposit_is_seen_and_counted_when_its_block_comes(shop: Shop, begin: Callable[..., StreamsProcess]) -> None:
    begin()
    quote = shop.buy(node_uri=shop.wallet.p2p_address)
    shop.wallet.send_coins(quote["btc_address"], quote["total_amount"])
    happened(quote, "deposit_seen")
    shop.network.mine(1)
    wait_state(shop, quote, "opening")
    wait_state(shop, quote, "open", mine=True)
    shop.assert_delivered(quote)


def test_a_second_process_takes_over_when_the_first_is_killed(shop: Shop, begin: Callable[..., StreamsProcess]) -> None:
    first = begin()
    second = begin("standing by")
    first.end()
    second.wait_for("the node is listened to")
    quote = shop.buy(node_uri=shop.wallet.p2p_address)
    payment = shop.wallet.pay(quote["ln_invoice"])
    wait_state(shop, quote, "opening")
    assert payment.wait() == SUCCEEDED
    wait_state(shop, quote, "open", mine=True)
    shop.assert_delivered(quote)


def test_payments_around_a_restart_of_the_node_are_seen(shop: Shop, begin: Callable[..., StreamsProcess]) -> None:
    streams = begin()
    early, late = (shop.buy(node_uri=shop.wallet.p2p_address) for _ in range(2))
    shop.network.lsp.restart()
    until(lambda: shop.network.buyer.has_route(shop.network.lsp), "the buyer can pay again")
    payments = [shop.wallet.pay(quote["ln_invoice"]) for quote in (early, late)]
    for quote in (early, late):
        wait_state(shop, quote, "opening")
    assert [payment.wait() for payment in payments] == [SUCCEEDED] * 2
    said = streams.log.read_text()
    times = [said.count(f"{what} cannot be used") for what in ("the node", "the node's subscriptions")]
    assert times in ([1, 0], [0, 1], [1, 1]), said  # both, where a slow node answers while it stops: each once
    for quote in (early, late):
        wait_state(shop, quote, "open", mine=True)
        shop.assert_delivered(quote)
