"""An attempt whose order has ended: today no guard allows one, and one of an older version holds coins and a peer."""

from __future__ import annotations

from typing import Final

from lightning.node import LndNode
from orders.causes import FlagKind
from orders.flags import flag
from orders.models import ChannelOpening, ChannelOrder
from orders.openings import cancelling, reasons
from orders.states import OpeningState

#: Of these nothing can be in the chain.
_UNSIGNED: Final = frozenset({OpeningState.NEGOTIATING, OpeningState.FUNDED, OpeningState.CANCELLING})


def end(order: ChannelOrder, live: ChannelOpening, node: LndNode) -> bool:
    """Whether it was cancelled; what was signed may be in the chain, and is for a person. Raises: LightningError."""
    if live.state in _UNSIGNED:
        words = "Its order is not to be opened any more."
        cancelling.cancel(order.pk, node, reason=reasons.NODE_NOT_READY, detail=words, only=live.pk)
        return True
    over = f"its order is {order.get_state_display().lower()}"
    words = f"An attempt to open stays {live.get_state_display().lower()}: {over}."
    flag(order.pk, FlagKind.ATTEMPT_STUCK, words)
    return False
