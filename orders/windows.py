"""Until when what was paid can be used: as long as the order's windows say, and as long as a held payment lasts."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.conf import settings

from orders import blocks
from orders.models import ChannelOrder, NodeSnapshot
from orders.states import InvoiceState, OrderState

#: Where a held payment still has to last for an attempt.
_NOT_OPENING: Final = frozenset({OrderState.PAID, OrderState.URI_SET, OrderState.GIVE_UP})


def usable_until(order: ChannelOrder, window_ends_at: datetime | None) -> datetime | None:
    """The end of this window of the order, or of what the held payment lasts for, where that is earlier.

    Blocks are reckoned at ten minutes each, from where the node was when it was last seen.
    """
    lasts_until = _held_payment_lasts_until(order)
    if window_ends_at is None or lasts_until is None:
        return window_ends_at
    return min(window_ends_at, lasts_until)


def _held_payment_lasts_until(order: ChannelOrder) -> datetime | None:
    """When the block comes with which it is too late for the point of no return; None: it does not run out."""
    invoice = order.invoice
    is_held = invoice is not None and invoice.state == InvoiceState.HELD and order.state in _NOT_OPENING
    seen: NodeSnapshot | None = getattr(order.lsp_node, "snapshot", None) if is_held else None
    if invoice is None or seen is None or invoice.hold_expires_height is None:
        return None
    last_height = invoice.hold_expires_height - settings.PUBLISH_MARGIN_BLOCKS - settings.SPARE_BLOCKS
    return seen.at + blocks.lasting(max(0, last_height + 1 - seen.block_height))
