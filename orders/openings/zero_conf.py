"""Whether the channel is usable before its funding is mined is asked of both nodes, and of the peer's will too."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from lightning.node import LndNode
from lightning.types import takes_zero_conf
from orders.causes import Cause
from orders.models import ChannelOpening, ChannelOrder
from orders.nudges import nudge
from orders.openings import terms
from orders.openings.reasons import CHANNEL_REJECTED, ZERO_CONF_REJECTED
from orders.openings.terms import Terms
from orders.states import OrderState
from orders.transitions import locked, note

#: What a peer may mean that takes no such channel: LND says that it was rejected, or that it has an internal error.
_MAY_BE_WHY: Final = frozenset({ZERO_CONF_REJECTED, CHANNEL_REJECTED, "FEATURE_MISSING", "FAILED_OPENING"})


def left_out(order_id: UUID, wanted: Terms, node: LndNode) -> bool:
    """One of the two nodes cannot have such a channel: the order asks for an ordinary one, and is due.

    The peer is connected. Raises: NodeUnavailable.
    """
    why = lack(wanted, node)
    if not why:
        return False
    with locked(order_id) as order:
        if order.state == OrderState.URI_SET and order.live_opening is None and terms.of(order) == wanted:
            leave_out(order, order.node_pubkey, reason="FEATURE_MISSING", detail=why)
            nudge(order)
    return True


def lack(wanted: Terms, node: LndNode) -> str:
    """Which of the two nodes cannot have such a channel; "" where both can. The peer is connected.

    Raises: NodeUnavailable.
    """
    if not takes_zero_conf(node.info().features):
        return "Our node has no zero-conf channels."
    if any(not takes_zero_conf(peer.features) for peer in node.peers() if peer.pubkey == wanted.node.pubkey):
        return "The node knows no zero-conf channels."
    return ""


def may_go_without(refused: ChannelOpening) -> bool:
    """The channel was refused before anything was funded, maybe since it was to be usable at once."""
    return refused.zero_conf and refused.transaction is None and refused.failure_reason in _MAY_BE_WHY


def leave_out(order: ChannelOrder, pubkey: str, *, reason: str, detail: str = "", attempt: int | None = None) -> None:
    """The order asks this node for an ordinary channel from now on. The caller holds the order's row."""
    order.zero_conf_refused_by = pubkey
    note(order, Cause.ZERO_CONF_REFUSED, attempt=attempt, reason=reason, detail=detail or None)
