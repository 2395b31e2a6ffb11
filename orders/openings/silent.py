"""An attempt before the point of no return that fell silent: its process died, or lost a reply."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from lightning.node import LndNode
from orders.models import ChannelOpening, ChannelOrder
from orders.openings import cancelling, carrying, committing, opening, reasons, tracing
from orders.openings.apart import apart
from orders.payments.lightning import passing
from orders.states import OpeningState


def recover(order: ChannelOrder, live: ChannelOpening, node: LndNode, now: datetime) -> None:
    """It goes on, or is ended.

    A fresh one whose channel is pending goes on; the peer may have forgotten an older one. One whose channel is
    zero-conf, and there, goes on whatever its age: it is in use. Whoever lost a reply has left the reason; where nobody
    has, it was our own death, which costs the order no place.
    Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown.
    """
    if live.state == OpeningState.CANCELLING:
        cancelling.finish(order.pk, node)
    elif live.state == OpeningState.CARRYING:
        _carry_on(order, live, node, now)
    elif live.zero_conf and live.transaction is not None:
        _keep_or_end(live, node)
    elif live.state == OpeningState.FUNDED and _is_fresh(live, now) and _is_at_the_node(live, node):
        opening.resume(order.pk, live.pk, node)
    else:
        words = "The attempt fell silent."
        cancelling.cancel(order.pk, node, reason=reasons.NODE_NOT_READY, detail=words, only=live.pk)


def _carry_on(order: ChannelOrder, live: ChannelOpening, node: LndNode, now: datetime) -> None:
    """Its payment is one step further over the channel; or there is none, or it comes to nothing, and it is ended."""
    carried = len(passing.of(order).parts)  # before the node is asked
    why = carrying.go_on(order, live, node, now)
    if why is None:
        return
    if why is carrying.NO_CHANNEL:
        node.cancel_shim(bytes(live.pending_chan_id))
        with apart(live, node):
            came_to_be = tracing.is_anywhere(node, live)
        if came_to_be:
            return  # the next look carries on
    cancelling.cancel(
        order.pk, node, reason=why.reason, detail=why.words, only=live.pk, never_was=True, carried=carried
    )


def _keep_or_end(live: ChannelOpening, node: LndNode) -> None:
    """A zero-conf channel that exists is funded; what could still become one is ended first, and then looked for."""
    order_id = live.order_id
    if committing.keep(order_id, live.pk, node):
        return
    node.cancel_shim(bytes(live.pending_chan_id))
    with apart(live, node):
        is_kept = committing.keep(order_id, live.pk, node)
    if not is_kept:
        reason, words = reasons.NODE_NOT_READY, "The attempt fell silent, and no channel came of it."
        cancelling.cancel(order_id, node, reason=reason, detail=words, only=live.pk, never_was=True)


def _is_fresh(live: ChannelOpening, now: datetime) -> bool:
    return live.changed_at + timedelta(seconds=settings.FRESH_ATTEMPT_SECONDS) > now


def _is_at_the_node(live: ChannelOpening, node: LndNode) -> bool:
    return tracing.open_or_opening(node, live) is not None
