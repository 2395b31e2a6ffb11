"""What staff may do to an order. Each deed is one operation; what it says of the money is what the operation does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from orders import flags, money, trail
from orders.actors import Authority
from orders.admin import going_back
from orders.causes import FlagKind
from orders.errors import OrderError
from orders.models import AuditKind, ChannelOrder
from orders.operations import deciding, ending, giving_up, refunding
from orders.payments import security
from orders.states import At, OrderState
from orders.story import sat, when

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Field:
    """What staff type for a deed, in one line. `read` says what is meant by it, or raises InvalidField."""

    label: str
    longest: int
    read: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that staff do. With `money` they are asked first, and told what it says of the order.

    With a `field` they type something first, for one order at a time; `run` and `money` are told that, else "".
    """

    name: str
    label: str
    done: str
    fits: Callable[[ChannelOrder], bool]
    run: Callable[[UUID, Authority, str], object]
    money: Callable[[ChannelOrder, str], str] | None = None
    field: Field | None = None

    @property
    def asks(self) -> bool:
        """Staff are asked before it is done."""
        return self.money is not None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a deed for one order; `refusal` is "" where it was done."""

    order_id: UUID
    refusal: str


def perform(deed: Deed, order_ids: Iterable[UUID], *, actor: Authority, typed: str = "") -> list[Outcome]:
    """The deed was tried on each order by itself: one that is refused stops no other."""
    return [Outcome(order_id, _refusal(deed, order_id, actor, typed)) for order_id in order_ids]


def _refusal(deed: Deed, order_id: UUID, actor: Authority, typed: str) -> str:
    try:
        deed.run(order_id, actor, typed)
    except OrderError as error:
        words = f"{deed.label}: {error.message}"
        trail.add(AuditKind.DEED_REFUSED, words, actor=actor, order_id=_known(order_id), facts={"deed": deed.name})
        return error.message
    except Exception:  # a defect at one order must not hide what was done to those before it
        log.exception("order=%s deed=%s failed", order_id, deed.name)
        return "This failed by a fault of the server; the log says which."
    return ""


def _known(order_id: UUID) -> UUID | None:
    return order_id if ChannelOrder.objects.filter(pk=order_id).exists() else None


def _money_returned(order: ChannelOrder, _: str) -> str:
    return "You say that you have sent the buyer's money back yourself. Nothing is sent now, nor opened any more."


def _give_up(order_id: UUID, actor: Authority, _: str) -> object:
    """The buyer reads why: the last failure, in a word that buyers know."""
    last = ChannelOrder.objects.filter(pk=order_id).values_list("last_failure_reason", flat=True).first()
    return giving_up.give_up(order_id, reason=last or "FAILED_OPENING", actor=actor)


def _money_given_up(order: ChannelOrder, _: str) -> str:
    held_sat = _held_sat(order)
    if held_sat:
        until = timezone.now() + timedelta(seconds=settings.GIVE_UP_GRACE_SECONDS)
        return f"{sat(held_sat)} stay held until {when(until)} for a retry, and then go back to the buyer."
    until = timezone.now() + timedelta(seconds=settings.GIVE_UP_GRACE_ONCHAIN_SECONDS)
    then = f"and then go {going_back.by_itself(order)}."
    return f"{sat(order.order_total_sat)} stay with us until {when(until)} for a retry, {then}"


def _money_cancelled(order: ChannelOrder, _: str) -> str:
    seen_sat = money.of(order, At.SEEN).received_sat
    if order.state == OrderState.CREATED:
        stay = f" {sat(seen_sat)} seen on chain go {going_back.by_itself(order)}." if seen_sat else ""
        return f"Nothing is paid that counts; it cannot be paid any more.{stay}"
    held_sat = _held_sat(order)
    if held_sat:
        return f"{sat(held_sat)} that the node holds go back to the buyer at once."
    return f"{sat(max(seen_sat, order.order_total_sat))} go {going_back.by_itself(order)}."


def _held_sat(order: ChannelOrder) -> int:
    """What the node holds and may still return."""
    return money.of(order, At.SEEN).held_sat if security.is_held(order) else 0


DEEDS: Final[dict[str, Deed]] = {
    deed.name: deed
    for deed in (
        Deed(
            name="retry",
            label="Retry",
            done="Will be tried again",
            fits=lambda order: not giving_up.why_not_retried(order),
            run=lambda order_id, actor, _: giving_up.retry(order_id, actor=actor),
        ),
        Deed(
            name="give_up",
            label="Give up",
            done="Given up",
            fits=lambda order: not giving_up.why_not_given_up(order),
            run=_give_up,
            money=_money_given_up,
        ),
        Deed(
            name="cancel",
            label="Cancel",
            done="Cancelled",
            fits=lambda order: not ending.why_not_cancelled(order),
            run=lambda order_id, actor, _: ending.cancel(order_id, actor=actor),
            money=_money_cancelled,
        ),
        Deed(
            name="record_returned",
            label="Returned by hand",
            done="Recorded as returned",
            fits=lambda order: not ending.why_not_returned(order),
            run=lambda order_id, actor, _: ending.record_returned(order_id, actor=actor),
            money=_money_returned,
        ),
        Deed(
            name="revive",
            label="Accept late payment",
            done="Paid after all",
            fits=lambda order: not ending.why_not_revived(order),
            run=lambda order_id, actor, _: ending.revive(order_id, actor=actor),
        ),
        Deed(
            name="pay_back",
            label="Pay back to this address",
            done="Goes back to that address",
            fits=lambda order: not refunding.why_not_addressed(order),
            run=lambda order_id, actor, typed: refunding.say_refund_address(order_id, typed, actor=actor),
            money=going_back.addressed,
            field=Field("Address", refunding.LONGEST_ADDRESS, refunding.read_address),
        ),
        Deed(
            name="keep_refund",
            label="Keep the refund",
            done="Kept",
            fits=lambda order: not refunding.why_not_kept(order),
            run=lambda order_id, actor, typed: refunding.keep(order_id, reason=typed, actor=actor),
            money=going_back.kept,
            field=Field("Reason", refunding.LONGEST_REASON, refunding.read_reason),
        ),
        Deed(
            name="release_refund",
            label="Release what was kept",
            done="Due again",
            fits=lambda order: not refunding.why_not_released(order),
            run=lambda order_id, actor, _: refunding.release(order_id, actor=actor),
            money=going_back.released,
        ),
        Deed(
            name="grant_refund",
            label="Grant the proposed refund",
            done="Granted",
            fits=lambda order: not deciding.why_not_granted(order),
            run=lambda order_id, actor, _: deciding.grant(order_id, actor=actor),
            money=going_back.granted,
        ),
        Deed(
            name="decline_refund",
            label="Decline the proposed refund",
            done="Declined",
            fits=lambda order: not deciding.why_not_declined(order),
            run=lambda order_id, actor, typed: deciding.decline(order_id, reason=typed, actor=actor),
            money=going_back.declined,
            field=Field("Reason", refunding.LONGEST_REASON, refunding.read_reason),
        ),
        Deed(
            name="settle_flag",
            label="Mark as seen",
            done="Marked as seen",
            fits=lambda order: order.needs_staff,
            run=lambda order_id, actor, _: flags.mark_seen(order_id, actor=actor),
        ),
    )
}


def seen_alone(kind: FlagKind) -> Deed:
    """As "Mark as seen", for one of the order's flags."""
    return replace(
        DEEDS["settle_flag"], run=lambda order_id, actor, _: flags.mark_seen(order_id, actor=actor, only=kind)
    )
