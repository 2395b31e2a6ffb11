"""Where there is too much of what costs its holder nothing something gives way: nobody keeps others out with it."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from django.conf import settings
from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from orders.models import ChannelOrder, JitPart, JitPurchase
from orders.states import UNDELIVERED, InvoiceState, OrderState

log = logging.getLogger(__name__)

#: So many parts of one purchase wait for their others, and so many in all: each is asked about several times a second.
MOST_WAITING: Final = 200
MOST_IN_ALL: Final = 2_000
#: An order whose channel is being opened, or whose payment has not come to its end: with its channel, or with none.
LIVE: Final = Q(state__in=[*UNDELIVERED, OrderState.OPENING]) | Q(
    hold_invoice__state__in=[InvoiceState.HELD, InvoiceState.RETURNING]
)


class Set(NamedTuple):
    """What has come of one payment."""

    purchase_id: int
    payment_hash: str


def make_for(peer: str) -> bool:
    """There is room for one more purchase, of this peer; False: payments for all that there are are under way.

    The oldest gives way of whoever would have most of those that nothing is under way for: a payment for it is refused
    then, as after its time. The caller holds the lock of purchases.
    """
    if _standing().count() < settings.LSPS2_PURCHASES:
        return True
    oldest = _idle().filter(node_pubkey=_largest_holder(peer)).order_by("pk")
    row = oldest.select_for_update(of=("self",), skip_locked=True).first()
    if row is None or not _idle().filter(pk=row.pk).exists():  # whoever hears of a part holds its row meanwhile
        return False
    log.info("the purchase %s gives way to another", row)
    _end(row)
    return True


def _standing() -> QuerySet[JitPurchase]:
    return JitPurchase.objects.filter(valid_until__gt=timezone.now(), opened_at=None)


def _idle() -> QuerySet[JitPurchase]:
    parts = JitPart.objects.filter(purchase=OuterRef("pk"))
    live = ChannelOrder.objects.filter(LIVE, jit_parts__purchase=OuterRef("pk"))
    return _standing().exclude(Exists(parts.filter(decision=""))).exclude(Exists(live))


def _largest_holder(peer: str) -> str:
    """With the one more that is wanted; of several the one whose oldest is."""
    held = _idle().values("node_pubkey").annotate(count=Count("pk"), oldest=Min("pk"))
    most = held.order_by("-count", "oldest").first()
    if most is None or _idle().filter(node_pubkey=peer).count() + 1 > most["count"]:
        return peer
    return str(most["node_pubkey"])


def _end(row: JitPurchase) -> None:
    if row.parts.exists():
        JitPurchase.objects.filter(pk=row.pk).update(valid_until=timezone.now())
    else:
        row.delete()


def gives_way(purchase: JitPurchase) -> Set | None:
    """The payment whose parts go back, as too many wait for their others, for this purchase or in all: the one of which
    least is there; None: there is room.

    Who would keep a payment out has to have more of his own held than has come of it. The caller holds the purchase's
    row, and after this that of what gives way; None too where somebody else holds that.
    """
    waiting = JitPart.objects.filter(decision="", order=None)
    of_it = waiting.filter(purchase=purchase)
    if of_it.count() > MOST_WAITING:
        return _least(of_it)
    least = _least(waiting) if waiting.count() > MOST_IN_ALL else None
    if least is None:
        return None
    row = JitPurchase.objects.select_for_update(skip_locked=True).filter(pk=least.purchase_id).first()
    return least if row is not None else None


def _least(parts: QuerySet[JitPart]) -> Set | None:
    sets = parts.values("purchase", "payment_hash").annotate(msat=Sum("incoming_msat"))
    found = sets.order_by("msat", "purchase", "payment_hash").first()
    return Set(found["purchase"], found["payment_hash"]) if found is not None else None
