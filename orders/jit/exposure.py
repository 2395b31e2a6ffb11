"""How much we risk with whom: channels that open just in time, and whose fee we do not have yet.

Such a channel costs us a funding, which its buyer pays for only by taking the payment. Who lets one open and does not
take the payment has cost us time, coins that were leased meanwhile, and sometimes the chain.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet, Sum
from django.utils import timezone

from orders.models import ChannelOrder, HoldInvoice, JitPart, PartDecision
from orders.models.order import Door
from orders.states import InvoiceState, OrderState

_DAY: Final = timedelta(days=1)
#: After the first channel that was opened for nothing; after each that follows twice as long.
_FIRST_WAIT: Final = timedelta(minutes=2)
#: What is not decided yet. Once it is, the fee is ours, or there is no channel.
_RISKED: Final = (OrderState.PAID, OrderState.URI_SET, OrderState.OPENING, OrderState.OPEN)


def objection(peer: str, channel_sat: int = 0, now: datetime | None = None) -> str:
    """Why the peer gets no such channel (of this size) now; "" where it does."""
    waits = waits_until(peer, now or timezone.now())
    if waits is not None:
        return "PEER_ABORTS"
    risked = _risked()
    if _sum_sat(risked.filter(node_pubkey=peer)) + channel_sat > settings.LSPS2_PEER_EXPOSURE_SAT:
        return "PEER_EXPOSURE"
    return "EXPOSURE" if _sum_sat(risked) + channel_sat > settings.LSPS2_EXPOSURE_SAT else ""


def waits_until(peer: str, now: datetime) -> datetime | None:
    """Until when the peer has to wait, as channels were opened for it in the last day and it took no payment."""
    rows = _aborted(peer, now - _DAY).values_list("cancelled_at", flat=True)
    aborted = [at for at in rows if at is not None]
    if not aborted:
        return None
    count = len(aborted)
    last = count >= settings.LSPS2_ABORTS_PER_PEER
    until = aborted[-1] + _DAY if last else aborted[0] + _FIRST_WAIT * 2 ** (count - 1)
    return until if until > now else None


def _aborted(peer: str, since: datetime) -> QuerySet[HoldInvoice]:
    """Payments of the peer that had gone on over its new channel, and came back; the newest first."""
    had_channel = JitPart.objects.filter(order=OuterRef("order"), decision=PartDecision.RESUME)
    rows = HoldInvoice.objects.filter(order__door=Door.LSPS2, order__node_pubkey=peer, cancelled_at__gt=since)
    return rows.filter(Exists(had_channel), state=InvoiceState.CANCELLED).order_by("-cancelled_at")


def _risked() -> QuerySet[ChannelOrder]:
    rows = ChannelOrder.objects.filter(door=Door.LSPS2, state__in=_RISKED)
    return rows.filter(hold_invoice__state=InvoiceState.HELD)


def _sum_sat(orders: QuerySet[ChannelOrder]) -> int:
    return int(orders.aggregate(sum=Sum("lsp_balance_sat"))["sum"] or 0)
