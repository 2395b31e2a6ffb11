"""What nobody can ask about any more is forgotten: purchases, and parts. No node is asked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from orders import queries
from orders.models import JitPart, JitPurchase, PartDecision
from orders.states import InvoiceState

_DAY: Final = timedelta(days=1)
#: Of what went back, and no order came of, a purchase keeps so many parts for a day, and all that did so this minute:
#: by then our node was told, as a rule; what it still waits for is heard of anew.
_MOST_KEPT: Final = 1_000
_TOLD: Final = timedelta(minutes=1)
#: So many blocks after a part ran out our node has it in no channel any more: one that is not settled by then is closed
#: by force some blocks after that, and what is in the chain it wants no answer to.
_GONE_BLOCKS: Final = 144


def forget(now: datetime | None = None) -> int:
    """What is over is forgotten; returns how many purchases that were. Repeat: safe.

    What our node was told to fail, or refused, it may ask about again and be told otherwise: it has let none of it go
    on. So of that as little is kept as is of use. What went on is kept for as long as it may come again.
    """
    now = now or timezone.now()
    _too_many_that_went_back(now).delete()
    _that_went_back_long_ago(now).delete()
    seen = queries.snapshot()
    if seen is not None:
        _of_orders_that_are_over(now, seen.block_height).delete()
    return _unused_purchases(now)


def _too_many_that_went_back(now: datetime) -> QuerySet[JitPart]:
    """The oldest. Repeat: safe."""
    back = _that_went_back().filter(decided_at__lt=now - _TOLD)
    place = Window(RowNumber(), partition_by=F("purchase"), order_by=F("decided_at").desc())
    too_many = back.annotate(place=place).filter(place__gt=_MOST_KEPT)
    return JitPart.objects.filter(pk__in=list(too_many.values_list("pk", flat=True)))


def _of_orders_that_are_over(now: datetime, height: int) -> QuerySet[JitPart]:
    """All but the first of each order, which says what its buyer bought."""
    ends = Q(order__hold_invoice__state=InvoiceState.SETTLED, order__hold_invoice__settled_at__lt=now - _DAY) | Q(
        order__hold_invoice__state=InvoiceState.CANCELLED, order__hold_invoice__cancelled_at__lt=now - _DAY
    )
    earlier = JitPart.objects.filter(order=OuterRef("order"), pk__lt=OuterRef("pk"))
    over = JitPart.objects.filter(ends, Exists(earlier), incoming_expiry__lt=height - _GONE_BLOCKS)
    return over.exclude(decision="")


def _that_went_back_long_ago(now: datetime) -> QuerySet[JitPart]:
    """Whenever they run out, which is their senders' to say: weeks later, if they like."""
    return _that_went_back().filter(decided_at__lt=now - _DAY)


def _that_went_back() -> QuerySet[JitPart]:
    return JitPart.objects.filter(order=None, decision__in=[PartDecision.FAIL, PartDecision.REFUSE])


def _unused_purchases(now: datetime) -> int:
    """Not those that somebody hears of just now."""
    with transaction.atomic():
        unused = JitPurchase.objects.filter(valid_until__lt=now - _DAY, parts=None)
        ids = [row.pk for row in unused.select_for_update(of=("self",), skip_locked=True)]
        rows = JitPurchase.objects.filter(pk__in=ids, parts=None)
        count = rows.count()
        rows.delete()
    return count
