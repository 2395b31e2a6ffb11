"""Which reservation follows each move: written in the transaction of the move, by orders.transitions alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import Case, F, Value, When
from django.db.models.expressions import Combinable
from django.utils import timezone

from orders.models import ChannelOpening, ChannelOrder, Reservation
from orders.models.order import Rail
from orders.states import COMMITTED_OPENINGS, RESERVING, Firmness, InvoiceState, OpeningState, OrderState

#: The coins of such an attempt have left the spendable ones, and do not come back to it.
_LEASED: Final = frozenset(
    {
        OpeningState.FUNDED,
        OpeningState.COMMITTED,
        OpeningState.CARRYING,
        OpeningState.PUBLISHING,
        OpeningState.PUBLISHED,
    }
)
_PAID: Final = frozenset({OrderState.PAID, OrderState.URI_SET, OrderState.GIVE_UP})


def value_sat(order: ChannelOrder) -> int:
    """What the order's channel costs us in coins."""
    return order.capacity_sat + order.open_fee_sat


def quoted(order: ChannelOrder) -> Reservation:
    """What the order that comes to be has reserved, not written yet."""
    return Reservation(
        order=order,
        node_id=order.lsp_node_id,
        client_hash=order.client_hash,
        node_pubkey=order.node_pubkey,
        value_sat=value_sat(order),
        firmness=Firmness.QUOTED,
        since=order.created_at,
        until=order.expires_at,
    )


def follow(order: ChannelOrder, before: str) -> None:
    """The order was in `before`, and its reservation is as it must be in its state now. The caller holds the row."""
    now = timezone.now()
    if order.state not in RESERVING:
        _write(order, released_at=now)
    elif order.state == OrderState.OPENING:
        _write(order, firmness=Firmness.FIRM, gives_way_at=None)
    elif order.state in _PAID:
        _write(order, **_paid(order, before, now), released_at=None, node_pubkey=order.node_pubkey)


def _paid(order: ChannelOrder, before: str, now: datetime) -> dict[str, Any]:
    """What a paid order without a live attempt is promised."""
    if not is_cancellable(order):
        return {"firmness": Firmness.FIRM, "gives_way_at": None}
    if before == OrderState.CREATED:  # whether there is room, is asked next
        return {"firmness": Firmness.WAITING, "gives_way_at": None, "until": now + _seconds("PLACE_SECONDS")}
    if before == OrderState.OPENING and order.state == OrderState.URI_SET:
        return {"firmness": Firmness.REACHED}
    kept = _unless_waiting(Value(Firmness.HELD), Value(Firmness.WAITING))
    if order.state == OrderState.GIVE_UP:
        return {"firmness": kept, "until": now}
    if order.state == OrderState.URI_SET:  # who waits does so until it was dialled
        return {"firmness": kept, "until": _unless_waiting(F("until"), Value(now + _seconds("CLAIM_PATIENCE_SECONDS")))}
    return {"firmness": kept}


def _unless_waiting(usual: Combinable, waiting: Combinable) -> Case:
    """By what the row says, which is not read for it."""
    return Case(When(firmness=Firmness.WAITING, then=waiting), default=usual)


def is_cancellable(order: ChannelOrder) -> bool:
    """What was paid is held only: it can go back by itself."""
    invoice = order.invoice if order.counted_payment == Rail.LIGHTNING else None
    return invoice is not None and invoice.state in {InvoiceState.HELD, InvoiceState.RETURNING}


def follow_attempt(order: ChannelOrder, opening: ChannelOpening, before: str) -> None:
    """The order's attempt has moved from `before` ("": begins). The caller holds the order's row."""
    if opening.surplus_sat and (not before or opening.state == OpeningState.FAILED):
        more_sat = 0 if opening.state == OpeningState.FAILED else opening.surplus_sat
        _write(order, value_sat=value_sat(order) + more_sat)
    if opening.state == OpeningState.FAILED:
        firmness = Firmness.REACHED if is_cancellable(order) else Firmness.FIRM
        _write(order, leased_at=None, firmness=firmness)
    elif opening.state in _LEASED and opening.transaction is not None:
        _write(order, firmness=Firmness.FIRM, leased_at=opening.transaction.created_at)
    elif opening.state == OpeningState.CONFLICTING or (
        opening.state == OpeningState.CANCELLING and before in COMMITTED_OPENINGS
    ):
        _write(order, leased_at=None)  # it will need coins once more
    elif not before:
        _write(order, firmness=Firmness.FIRM, leased_at=None)


def going_back(order: ChannelOrder) -> None:
    """A return of the payment that counts is recorded, which nothing can follow but the return: its coins are free."""
    if order.counted_payment == Rail.LIGHTNING:
        Reservation.objects.filter(order=order.pk, gives_way_at=None).update(gives_way_at=timezone.now())


def unreached(order: ChannelOrder) -> None:
    """The node has failed it, or was not found: held like any other, and its time is over where it was reached."""
    now = timezone.now()
    rows = Reservation.objects.filter(order=order.pk, firmness=Firmness.REACHED)
    rows.update(firmness=Firmness.HELD, until=now)


def _write(order: ChannelOrder, **fields: Any) -> None:
    Reservation.objects.filter(order=order.pk).update(**fields)


def _seconds(setting: str) -> timedelta:
    return timedelta(seconds=getattr(settings, setting))
