"""How much we risk with whom: channels that open just in time, and whose fee we do not have, or not all of it.

Such a channel costs us a funding, which its buyer pays for only by taking the payment. Who lets one open and does not
take the payment has cost us time, and coins that were leased meanwhile; who takes a part of it that bears no fee, the
chain too. A payment may be a stranger's, who knows the number and nothing else: then its wallet fails it, and must.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Max, QuerySet, Sum
from django.utils import timezone

from orders.causes import NEVER_REACHED, FlagKind
from orders.models import ChannelOrder, Flag, JitPart, JitPurchase, PartDecision
from orders.models.order import Door
from orders.states import InvoiceState, OrderState

_DAY: Final = timedelta(days=1)
#: After the first channel that was opened for nothing; after each that follows twice as long.
_FIRST_WAIT: Final = timedelta(minutes=2)
#: So many payments of a peer in a day may come back without having reached it, before they count.
_EXCUSED: Final = 3
#: What is not decided yet. Once it is the fee is ours, or there is no channel, or it is unpaid.
_RISKED: Final = (OrderState.PAID, OrderState.URI_SET, OrderState.OPENING, OrderState.OPEN)


def objection(purchase: JitPurchase, channel_sat: int = 0, now: datetime | None = None) -> str:
    """Why the peer gets no such channel (of this size) for its purchase now; "" where it does.

    Who relies on that, and is not the only one who asks, holds the lock of sales.
    """
    now, peer = now or timezone.now(), purchase.node_pubkey
    if waits_until(peer, now) is not None or number_waits_until(purchase, now) is not None:
        return "PEER_ABORTS"
    if _risked_sat(peer) + channel_sat > settings.LSPS2_PEER_EXPOSURE_SAT:
        return "PEER_EXPOSURE"
    return "EXPOSURE" if _risked_sat() + channel_sat > settings.LSPS2_EXPOSURE_SAT else ""


def waits_until(peer: str, now: datetime) -> datetime | None:
    """Until when the peer has to wait, as channels were opened for it in the last day and it took no payment, or not
    all of it.

    Of what was never published a number counts once, however often it was paid in vain: whoever has been shown it can
    do that. And the first such number is forgiven.
    """
    aborted = _aborted(peer, now - _DAY).values_list("purchase")
    last = sorted(aborted.annotate(at=Max(_CANCELLED_AT)).values_list("at", flat=True))
    count = [*last[1:], *_unpaid_at(peer, now - _DAY)]
    if len(count) >= settings.LSPS2_ABORTS_PER_PEER:
        return _unless_past(min(count) + _DAY, now)
    return _after(count, now)


def number_waits_until(purchase: JitPurchase, now: datetime) -> datetime | None:
    """Until when a payment for this number has to wait, as others for it were not taken."""
    aborted = _aborted(purchase.node_pubkey, now - _DAY).filter(purchase=purchase).values_list("order").distinct()
    return _after([at for at in aborted.values_list(_CANCELLED_AT, flat=True) if at is not None], now)


def _after(ended_at: Collection[datetime], now: datetime) -> datetime | None:
    if not ended_at:
        return None
    return _unless_past(max(ended_at) + _FIRST_WAIT * 2 ** min(len(ended_at) - 1, 10), now)


def _unless_past(until: datetime, now: datetime) -> datetime | None:
    return until if until > now else None


_CANCELLED_AT: Final = "order__hold_invoice__cancelled_at"


def _aborted(peer: str, since: datetime) -> QuerySet[JitPart]:
    """The parts of payments that had gone on over a new channel of the peer's, reached it, and came back.

    That one never reached it is nobody's fault. But it has cost us an opening, and who is his own payer can have that
    happen as often as he likes: so only the first few of a day are excused.
    """
    rows = JitPart.objects.filter(decision=PartDecision.RESUME, order__hold_invoice__state=InvoiceState.CANCELLED)
    rows = rows.filter(purchase__node_pubkey=peer, order__hold_invoice__cancelled_at__gt=since)
    never_reached = rows.filter(order__give_up_reason=NEVER_REACHED).order_by(_CANCELLED_AT)
    excused = list(dict.fromkeys(never_reached.values_list("order", flat=True)))[:_EXCUSED]
    return rows.exclude(order__in=excused)


def _unpaid_at(peer: str, since: datetime) -> list[datetime]:
    """When channels of the peer were published that are not paid for, or not wholly."""
    rows = Flag.objects.filter(kind=FlagKind.UNPAID_CHANNEL, order__door=Door.LSPS2, order__node_pubkey=peer)
    return list(rows.filter(raised_at__gt=since).values_list("raised_at", flat=True))


def _risked_sat(peer: str = "") -> int:
    """With an unpaid channel for as long as nobody has seen to it, whatever has become of it since: whoever had one
    may come back under another key.
    """
    of_peer = {"node_pubkey": peer} if peer else {}
    orders = ChannelOrder.objects.filter(door=Door.LSPS2, **of_peer)
    held = orders.filter(state__in=_RISKED, hold_invoice__state=InvoiceState.HELD)
    unpaid = orders.filter(flags__kind=FlagKind.UNPAID_CHANNEL, flags__lowered_at=None)
    return _sum_sat(held) + _sum_sat(unpaid)


def _sum_sat(orders: QuerySet[ChannelOrder]) -> int:
    return int(orders.aggregate(sum=Sum("lsp_balance_sat"))["sum"] or 0)
