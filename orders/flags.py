"""What needs a person: raised where it is seen, down when what ends it happens, or when a person has seen it.

A flag is no reason to look at its order again, and none hides another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from orders.actors import LSP, Authority, Kind, open_to
from orders.causes import Cause, FlagKind
from orders.journal import locked, write
from orders.models import ChannelOrder, Flag
from orders.states import InvoiceState, OpeningState, OrderState


class Found(StrEnum):
    """What a look can find that moves nothing, and is the end of a flag all the same."""

    NO_DEFECT = "no_defect"  # the look went through
    CHANNEL = "channel"  # the node knows the channel
    INVOICE = "invoice"  # the node knows the invoice
    DEPOSITS = "deposits"  # what counted is in blocks again
    FEE_KEPT = "fee_kept"  # no more is asked for forwarding than was promised


#: What can end a flag: the order, its attempt or its payment comes to a state; something is journalled, or found.
Signal = OrderState | OpeningState | InvoiceState | Cause | Found


def _left(state: OrderState | OpeningState | InvoiceState) -> Iterator[Signal]:
    """Every other state of the same machine."""
    return (other for other in type(state) if other is not state)


_O, _A, _I, _C, _K = OrderState, OpeningState, InvoiceState, Cause, FlagKind

#: What ends each, besides a person who has seen it; nothing where it names a loss, or asks for a decision. Money that
#: staff say they have returned was all that there was.
ENDS: Final[dict[FlagKind, tuple[Signal, ...]]] = {
    # Before the point of no return. The coins suffice and the fee is bearable once a funding is drafted: that an
    # attempt begins says nothing of them, and each would raise the flag anew.
    _K.COINS_SHORT: (_A.FUNDED, *_left(_O.URI_SET)),
    _K.FEE_TOO_HIGH: (_A.FUNDED, *_left(_O.URI_SET)),
    _K.ATTEMPT_STUCK: tuple(_A),
    _K.NOT_ADOPTABLE: (_A.NEGOTIATING, *_left(_O.URI_SET)),
    _K.CANNOT_SETTLE: (_A.NEGOTIATING, _A.PUBLISHED, *_left(_O.URI_SET)),
    _K.SENT_BACK: (_A.NEGOTIATING, _C.RETURNED_BY_HAND),
    _K.TRACE_UNKNOWN: (_O.OPENING, _I.RETURNING, _I.CANCELLED),
    _K.GAVE_UP: tuple(_left(_O.GIVE_UP)),
    # Of the funding. One that is refused and put out may be published after all; FAILED: nothing of it is left.
    _K.PUBLISHING_REFUSED: (_A.PUBLISHED, _A.FAILED),
    _K.ZERO_CONF_UNFUNDED: (_A.PUBLISHED,),
    _K.UNMINED: (_C.FUNDING_MINED, *_left(_A.PUBLISHED)),
    _K.CONFLICT_TOO_DEAR: tuple(_left(_A.CONFLICTING)),
    _K.CONFLICT_OVER_BUDGET: (),
    _K.MINED_AFTER_ALL: (),
    _K.DOUBLE_SPENT: (_C.REFUND_GRANTED, _C.REFUND_DECLINED),
    # Of the Lightning payment.
    _K.NOT_SETTLED: tuple(_left(_I.HELD)),
    _K.INVOICE_UNKNOWN: (Found.INVOICE, *_left(_I.HELD)),
    _K.UNPAID_CHANNEL: (),
    _K.RETURNED_WHILE_OPENING: (_O.REFUNDED,),
    _K.SETTLED_UNASKED: (_C.RETURNED_BY_HAND,),
    _K.LIGHTNING_SURPLUS: (_I.CANCELLED, _C.REFUND_DUE, _C.SURPLUS_ADDED, _C.RETURNED_BY_HAND),
    # Of deposits, and of money that waits for somebody to return it.
    _K.NEVER_CLAIMED: tuple(_left(_O.PAID)),
    _K.CANCELLED_PAID: (_O.REFUNDED,),
    _K.ENDED_WITH_DEPOSITS: (_C.REFUND_DUE, _C.RETURNED_BY_HAND, _C.LATE_PAYMENT_ACCEPTED, _C.LATE_PAYMENT_TAKEN),
    _K.PAID_LATE: (_C.REFUND_DUE, _C.RETURNED_BY_HAND, _C.LATE_PAYMENT_ACCEPTED, _C.LATE_PAYMENT_TAKEN),
    _K.PAID_BESIDES: (_C.REFUND_DUE, _C.RETURNED_BY_HAND),
    _K.DEPOSITS_SURPLUS: (_C.REFUND_DUE, _C.SURPLUS_ADDED, _C.RETURNED_BY_HAND),
    _K.REFUND_NEEDED: (_C.REFUND_ADDRESS_GIVEN, _C.REFUND_WITHDRAWN, _C.REFUND_KEPT, _C.RETURNED_BY_HAND),
    _K.REFUND_BARRED: (_C.REFUND_DUE, _C.REFUND_WITHDRAWN, _C.RETURNED_BY_HAND),  # kept until a person releases it
    _K.REFUND_STUCK: (
        _C.REFUND_SIGNED,
        _C.REFUND_PUBLISHED,
        _C.REFUND_REBUILT,
        _C.REFUND_MINED,
        _C.REFUND_WITHDRAWN,
        _C.REFUND_KEPT,
        _C.RETURNED_BY_HAND,
    ),
    _K.DEPOSIT_TAKEN_BACK: (Found.DEPOSITS, _C.RETURNED_BY_HAND, _C.DEPOSIT_DOUBLE_SPENT),
    _K.DEPOSIT_VANISHED: (Found.DEPOSITS, _C.RETURNED_BY_HAND, _C.CREDIT_ENDED, _C.DEPOSIT_DOUBLE_SPENT),
    _K.PAYER_UNKNOWN: (),  # it counts, and nobody can tell any more who has paid it
    # Of the channel.
    _K.CHANNEL_UNKNOWN: (Found.CHANNEL,),
    _K.CHANNEL_INACTIVE: tuple(_left(_O.OPENING)),
    # There never was a channel that could be closed: that is another case.
    _K.CLOSED_UNUSED: (_C.REFUND_GRANTED, _C.REFUND_DECLINED, _C.FUNDING_CONFLICTED),
    _K.CLOSED_EARLY: (_C.REFUND_GRANTED, _C.REFUND_DECLINED, _C.FUNDING_CONFLICTED),
    _K.CLOSE_STUCK: (_O.CLOSING, _O.CLOSED, _C.CLOSE_WITHDRAWN),
    _K.ROUTING_FEE_HIGH: (Found.FEE_KEPT, _O.CLOSING, _O.CLOSED),
    _K.SERVER_DEFECT: (Found.NO_DEFECT,),
    _K.OTHER: (),
}


def _by_signal() -> dict[tuple[type, Signal], set[FlagKind]]:
    """With its type: states of different machines are the same text."""
    ended: dict[tuple[type, Signal], set[FlagKind]] = defaultdict(set)
    for kind, signals in ENDS.items():
        for signal in signals:
            ended[type(signal), signal].add(kind)
    return ended


_ENDED_BY: Final = _by_signal()


def ended_by(*signals: Signal) -> set[FlagKind]:
    """The kinds that any of these ends."""
    return {kind for signal in signals for kind in _ENDED_BY.get((type(signal), signal), ())}


def raise_flag(order: ChannelOrder, kind: FlagKind, words: str, *, actor: Authority = LSP) -> None:
    """The order has a standing flag of this kind that says so. The caller holds the order's row.

    Repeat: safe; one that stands and says something else says this from now on.
    """
    words = words[:300]
    stands = _standing(order).filter(kind=kind).first()
    if stands is None:
        Flag.objects.create(order=order, kind=kind, words=words, raised_at=timezone.now(), raised_by=str(actor))
    elif stands.words == words:
        return
    else:
        stands.words = words
        stands.save(update_fields=["words"])
    _count(order)
    write(order, order.state, Cause.NEEDS_STAFF, actor, {"kind": kind, "reason": words})


def flag(order_id: UUID, kind: FlagKind, words: str) -> None:
    """As `raise_flag`, for who does not hold the order's row."""
    with locked(order_id) as order:
        raise_flag(order, kind, words)


def happened(order: ChannelOrder, *signals: Signal, actor: Authority = LSP) -> None:
    """Every flag that one of these ends is down, at the hand of who did it. The caller holds the order's row."""
    if ends := _ends(order, *signals):
        _lower(order, ends, Cause.FLAG_FELL, actor)


def found(order: ChannelOrder, what: Found) -> None:
    """As `happened`, for who looks at the order and does not hold its row."""
    if _ends(order, what):
        with locked(order.pk) as held:
            happened(held, what)


@open_to(Kind.STAFF, Kind.COMMAND)
def mark_seen(order_id: UUID, *, actor: Authority, only: FlagKind | None = None) -> ChannelOrder:
    """A person has seen why the order was flagged (`only`: one of the reasons): the flags are down, and kept.

    What is still so is raised anew when it is seen again. Repeat: safe.
    """
    with locked(order_id) as order:
        seen = _standing(order).filter(kind=only) if only else _standing(order)
        _lower(order, seen, Cause.STAFF_HAVE_LOOKED, actor)
    return order


def _standing(order: ChannelOrder) -> QuerySet[Flag]:
    return Flag.objects.filter(order=order, lowered_at=None)


def _ends(order: ChannelOrder, *signals: Signal) -> list[Flag]:
    """What any of these ends; the database is not asked where no flag stands, as with nearly every order."""
    kinds = ended_by(*signals) if order.standing_flags else ()
    return list(_standing(order).filter(kind__in=kinds)) if kinds else []


def _lower(order: ChannelOrder, rows: Iterable[Flag], cause: Cause, actor: Authority) -> None:
    for row in rows:
        row.lowered_at, row.lowered_by = timezone.now(), str(actor)
        row.save(update_fields=["lowered_at", "lowered_by"])
        _count(order)
        write(order, order.state, cause, actor, {"kind": row.kind, "reason": row.words})


def _count(order: ChannelOrder) -> None:
    """Counted anew, and never reckoned: a number that was wrong once would hide flags for ever."""
    order.standing_flags = _standing(order).count()
