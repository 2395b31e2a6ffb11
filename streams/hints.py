"""What an event of the node concerns. Each of these runs in a thread, and nudges; none believes what the event says.

Only news is followed: an event that our own work causes, or that our rows know already, must not nudge, for a nudge
ends the pause of an order that waits after a failure.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import Final
from uuid import UUID

from lightning import types
from lightning.types import ChainTransaction, ChannelEvent
from orders import queries
from orders.nudges import due_by_invoice, nudge_all
from orders.payments.onchain import recording
from orders.states import InvoiceState, OrderState
from orders.waking import telling

log = logging.getLogger(__name__)

#: Which of our rows each state of the node's is news to.
_NEWS_TO: Final[dict[types.NodeInvoiceState, Collection[InvoiceState]]] = {
    types.NodeInvoiceState.OPEN: (),
    types.NodeInvoiceState.ACCEPTED: (InvoiceState.OPEN,),
    types.NodeInvoiceState.SETTLED: (InvoiceState.OPEN, InvoiceState.RETURNING),
    types.NodeInvoiceState.CANCELED: (InvoiceState.OPEN, InvoiceState.HELD),
}
#: Channels that come to be, and channels that end. A peer that comes and goes says nothing new of an open channel.
_MAY_BE_USABLE: Final = frozenset({"open_channel", "active_channel"})
_ENDS: Final = frozenset({"closed_channel", "fully_resolved_channel"})


def may_be_news(state: types.NodeInvoiceState) -> bool:
    """Our row may have the invoice in another state. An open one is no news: that is how each begins."""
    return bool(_NEWS_TO[state])


def invoice_changed(order_id: UUID, state: types.NodeInvoiceState) -> bool:
    """The order is due if its invoice's state is news to us; whether it is. Nobody else is told."""
    return may_be_news(state) and due_by_invoice(order_id, _NEWS_TO[state])


def transaction_seen(transaction: ChainTransaction) -> None:
    """Its outputs that pay an order are recorded, which nudges."""
    recording.record([transaction])


def channel_changed(event: ChannelEvent) -> None:
    """The order of this channel is nudged where it is still on its way to what the event says."""
    if event.outpoint is None:
        return
    if event.kind in _MAY_BE_USABLE:
        nudge_all(queries.orders_of_channel(event.outpoint, [OrderState.OPENING]))
    elif event.kind in _ENDS:
        states = [OrderState.OPENING, OrderState.OPEN, OrderState.CLOSING]
        nudge_all(queries.orders_of_channel(event.outpoint, states))


def peer_came(pubkey: str) -> None:
    """The orders that wait for just this peer to be reachable, to open a channel or to close it, try now.

    Its wallet need not be woken any more.
    """
    waiting = queries.waiting_for_peer(pubkey, reason="PEER_NOT_REACHABLE")
    nudge_all({*waiting, *queries.closings_that_wait(pubkey)})
    telling.came(pubkey)


class PeersSeen:
    """Each peer's coming counts once in a while.

    Our own attempts connect and reconnect peers: without a limit a peer that comes and drops every opening would be
    tried without any pause.
    """

    def __init__(self, pause_seconds: float = 60) -> None:
        self._pause_seconds = pause_seconds
        self._counted: dict[str, float] = {}

    def counts(self, pubkey: str, now: float | None = None) -> bool:
        """This coming counts, and further ones for a while do not."""
        now = time.monotonic() if now is None else now
        self._counted = {key: at for key, at in self._counted.items() if now - at < self._pause_seconds}
        if pubkey in self._counted:
            return False
        self._counted[pubkey] = now
        return True
