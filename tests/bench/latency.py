"""From the payment that the node holds to the channel that is asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import grpc

from lightning import connection as lightning
from lightning.calls import Calls
from lightning.proto import invoicesrpc_pb2, lnrpc_pb2
from orders.models import ChannelOrder, HoldInvoice, OrderEvent
from orders.states import OrderState
from tests.bench.figures import Reaction
from tests.bench.shop import Shop
from tests.bench.timed_node import sent_at
from tests.regtest.payment import SUCCEEDED
from tests.regtest.waiting import until

#: Purchases between blocks: their change is not spent before it is deep, so each needs a coin of its own; and the
#: buyer's node has a limit of pending channels.
BATCH = 25
_COIN_SAT = 10_000_000
_DEEP_BLOCKS = 6


class Accepted(threading.Thread):
    """Notes when the node says that the invoice's payment is held."""

    def __init__(self, node: Calls, payment_hash: str) -> None:
        super().__init__(daemon=True)
        request = invoicesrpc_pb2.SubscribeSingleInvoiceRequest(r_hash=bytes.fromhex(payment_hash))
        metadata = lightning.credentials().metadata()
        self._stream = node.link().invoices.SubscribeSingleInvoice(request, metadata=metadata)
        self.at = 0.0  # by the clock of the day, as the journal; complete once the thread has ended
        self._subscribed = threading.Event()
        self.start()
        until(self._subscribed.is_set, "the node tells of the invoice")

    def run(self) -> None:
        try:
            for invoice in self._stream:
                self._subscribed.set()  # the first tells how it is now
                if invoice.state == lnrpc_pb2.Invoice.ACCEPTED and not self.at:
                    self.at = time.time()
                    return
        except grpc.RpcError:
            return  # the network is over
        finally:
            self._stream.cancel()


def measure(shop: Shop, runs: int, say: Callable[[str], None]) -> list[Reaction]:
    """So many orders were paid and their channels are open; each names its node at the purchase. The streams run."""
    network = shop.network
    network.chain.pay([(network.lsp.new_address(), _COIN_SAT) for _ in range(BATCH + 2)])
    network.mine(_DEEP_BLOCKS)
    listener = Calls(lightning.credentials())
    reactions: list[Reaction] = []
    while len(reactions) < runs:
        reactions += list(_batch(shop, listener, min(BATCH, runs - len(reactions))))
        network.mine(_DEEP_BLOCKS)
        until(lambda: not _opening().exists(), "the channels are open", pause=0.2, timeout=120)
        say(f"{len(reactions)} of {runs} channels opened")
    return reactions


def _opening() -> Any:
    return ChannelOrder.objects.filter(state=OrderState.OPENING)


def _batch(shop: Shop, listener: Calls, size: int) -> Iterator[Reaction]:
    for _ in range(size):
        with closing(shop.client()) as client:
            quote = shop.buy(client, tries=30, node_uri=shop.network.buyer.p2p_address)
        accepted = Accepted(listener, HoldInvoice.objects.get(order=quote["order_id"]).payment_hash)
        payment = shop.network.buyer.pay(quote["ln_invoice"])
        published = _at(quote, "funding_published")
        accepted.join(30)
        if not accepted.at:
            raise RuntimeError("the node never said that the payment is held")
        if payment.wait() != SUCCEEDED:
            raise RuntimeError(f"the payment ended otherwise: {payment.failure}")
        yield Reaction(
            held_at=accepted.at,
            recorded=_at(quote, "lightning_payment_held") - accepted.at,
            begun=_at(quote, "opening_begun") - accepted.at,
            sent=sent_at(shop.streams_log(), quote["order_id"]) - accepted.at,
            published=published - accepted.at,
        )


def _at(quote: dict[str, Any], cause: str) -> float:
    """When it happened, by the journal."""
    rows = OrderEvent.objects.filter(order=quote["order_id"], cause=cause)
    found = until(rows.first, f"the order has {cause}", timeout=60)
    assert found is not None
    return found.at.timestamp()
