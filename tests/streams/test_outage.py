"""Many orders that end while the node is away: one of us finds out that it is, and all of them end well."""

from __future__ import annotations

import gc
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from lightning import connection
from lightning.calls import Calls
from orders import marks, queries, reconcile
from orders.models import ChannelOrder, HoldInvoice
from orders.states import OrderState
from streams import process
from tests.factories import OrderFactory
from tests.property.inside import InsideNode, Loop
from tests.regtest.processes import release_port
from tests.regtest.waiting import until
from tests.streams.conftest import Running

ORDERS = 100
#: How long the node is away, and how much of that we may ask: at growing pauses, the longest of 5 s.
AWAY_SECONDS = 12


@pytest.fixture
def lnd(loop: Loop, transactional_db: None, settings: Any) -> Iterator[InsideNode]:
    """A simulated node that can go away."""
    folder = Path(tempfile.mkdtemp(prefix="lsp-outage-"))
    node = InsideNode(loop, folder)
    node.start()
    settings.LND_GRPC, settings.LND_NETWORK = node.grpc_address, "regtest"
    settings.LND_TLS_CERT, settings.LND_MACAROON = str(node.tls_certificate), str(node.admin_macaroon)
    yield node
    node.kill()
    release_port(node.grpc_port)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What our client has asked, by the request's name."""
    counted: Counter[str] = Counter()
    before = Calls._call

    def call(self: Calls, method: Any, request: Any, **how: Any) -> Any:
        counted[request.DESCRIPTOR.name] += 1
        return before(self, method, request, **how)

    monkeypatch.setattr(Calls, "_call", call)
    return counted


@pytest.fixture
def unpaid(lnd: InsideNode) -> list[ChannelOrder]:
    """Orders whose invoices the node has, bought while it was there."""
    node = connection.node()
    reconcile.look(node)
    orders = []
    for _ in range(ORDERS):
        order = OrderFactory(lsp_node=queries.our_node())
        opened = node.add_hold_invoice(
            payment_hash=order.hold_invoice.payment_hash,
            amount_sat=order.order_total_sat,
            memo=marks.invoice_memo(order.pk),
            expiry_seconds=3600,
            cltv_blocks=144,
        )
        HoldInvoice.objects.filter(order=order).update(add_index=opened.add_index)
        orders.append(order)
    return orders


@pytest.fixture
def streams(unpaid: list[ChannelOrder]) -> Iterator[Running]:
    running = Running()
    until(lambda: running.process._node.is_up, "the node is listened to", timeout=30)
    yield running
    running.stop()
    gc.collect()  # the ended threads' connections to the database


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """When our own database was asked what is due."""
    looked: list[datetime] = []
    before = process._look_at_the_clock

    def look() -> Any:
        looked.append(timezone.now())
        return before()

    monkeypatch.setattr(process, "_look_at_the_clock", look)
    return looked


def ended() -> int:
    return ChannelOrder.objects.filter(state=OrderState.EXPIRED).count()


def test_found_c7_a_hundred_orders_that_end_in_an_outage_find_it_out_once(
    lnd: InsideNode,
    streams: Running,
    calls: Counter[str],
    clock: list[datetime],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    lnd.kill()
    calls.clear()
    clock.clear()
    now = timezone.now()
    ChannelOrder.objects.update(expires_at=now - timedelta(seconds=1), due_at=now)
    time.sleep(AWAY_SECONDS)
    lines = list(caplog.messages)
    asked = calls.total()
    assert asked <= 30, calls
    assert len(clock) <= 5  # it found them once or twice before one of them met the outage
    assert len(lines) <= 5, lines
    assert sum("cannot be used" in line for line in lines) == 1
    assert len(queries.due_ids(timezone.now())) == ORDERS and ended() == 0

    calls.clear()
    lnd.start()
    until(lambda: ended() == ORDERS, "all of them have ended", timeout=90)
    assert sum("the node is back" in line for line in caplog.messages) == 1
    assert calls["LookupInvoiceMsg"] <= 4 * ORDERS, calls  # a few looks each
    assert calls["CancelInvoiceMsg"] <= 2 * ORDERS, calls
