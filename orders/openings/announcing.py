"""Whether the channel is public is asked of the peer too, who may have something against it."""

from __future__ import annotations

from typing import Final

from orders.models import ChannelOpening, ChannelOrder
from orders.openings.reasons import ANNOUNCEMENT_REJECTED, CHANNEL_REJECTED

#: What a peer may mean that takes no public channel: many wallets say no more than that they refuse.
_MAY_BE_WHY: Final = frozenset({ANNOUNCEMENT_REJECTED, CHANNEL_REJECTED})


def may_go_without(order: ChannelOrder, refused: ChannelOpening) -> bool:
    """The refused channel was public by our own choice alone: an unannounced one may be tried in its place.

    Never the reverse: who gets a private channel shows nothing that he meant to keep.
    """
    nobody_asked = order.announced_by_claim is None and order.announced_by_purchase is None
    return refused.announced and nobody_asked and refused.failure_reason in _MAY_BE_WHY
