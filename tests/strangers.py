"""Peers that waste our time, as tests have them, and what the honest get meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.utils import timezone

from orders import queries, reconcile
from orders.advance import advance
from orders.causes import Cause
from orders.models import ChannelOrder, Heartbeat, HoldInvoice, OrderEvent
from orders.openings import turns
from orders.states import InvoiceState
from tests.e2e.shop import Shop
from tests.factories import pubkey
from tests.regtest.waiting import until

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def swallowing() -> Iterator[str]:
    """`host:port` of a listener whose backlog is full: whoever dials it hears nothing, until he has had enough."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                with suppress(BlockingIOError):
                    filler.connect(address)
            yield f"127.0.0.1:{address[1]}"
        finally:
            for filler in fillers:
                filler.close()


@contextmanager
def process(environment: dict[str, str], log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py …` runs, and all of its group is gone afterwards."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            [sys.executable, "manage.py", *command],
            env=environment, cwd=ROOT, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def by_default(environment: dict[str, str]) -> dict[str, str]:
    """The environment without what tests set to be quick."""
    return {name: value for name, value in environment.items() if not name.startswith("RETRY_")}


def paid(shop: Shop, count: int, *, client: str) -> list[dict[str, Any]]:
    """So many orders, each with its held payment; recorded by whoever runs beside."""
    quotes = []
    for _ in range(count):
        quote = shop.buy()
        ChannelOrder.objects.filter(pk=quote["order_id"]).update(client_hash=client)
        shop.wallet.pay(quote["ln_invoice"])
        quotes.append(quote)
    return quotes


def all_recorded(quotes: Sequence[dict[str, Any]]) -> bool:
    ids = [quote["order_id"] for quote in quotes]
    return HoldInvoice.objects.filter(order__in=ids, state=InvoiceState.HELD).count() == len(ids)


def claim_all(shop: Shop, quotes: Sequence[dict[str, Any]], addresses: Sequence[str]) -> None:
    for quote, address in zip(quotes, addresses, strict=True):
        shop.post("/channel/manual_finalise", order_id=quote["order_id"], node_uri=address)


def dead(count: int, host: str, *, first: int = 1000) -> list[str]:
    """Nodes of so many keys, all of them where nobody answers."""
    return [f"{pubkey(first + number)}@{host}" for number in range(count)]


def begun(quotes: Sequence[dict[str, Any]]) -> int:
    """How many of these had an attempt."""
    ids = [quote["order_id"] for quote in quotes]
    return OrderEvent.objects.filter(order__in=ids, cause=Cause.OPENING_BEGUN).values("order").distinct().count()


def seconds(happened: Callable[[], bool], what: str, *, timeout: float) -> float:
    """How long it took."""
    since = time.monotonic()
    until(happened, what, timeout=timeout, pause=0.02)
    return time.monotonic() - since


def oldest_heartbeat_seconds() -> dict[str, float]:
    now = timezone.now()
    return {beat.name: (now - beat.at).total_seconds() for beat in Heartbeat.objects.all()}


def failed(quotes: Sequence[dict[str, Any]]) -> int:
    """How many of these have failed once."""
    ids = [quote["order_id"] for quote in quotes]
    return ChannelOrder.objects.filter(pk__in=ids, failed_openings__gt=0).count()


def recorded_by_us(shop: Shop) -> None:
    """All payments that are held are recorded, by this process: no other runs yet."""
    reconcile.look(shop.node)
    for order_id in queries.due_ids(timezone.now()):
        advance(order_id, turn=turns.NEVER)
