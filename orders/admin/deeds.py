"""What staff may do to an order. Each deed is one operation; what it says of the money is what the operation does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from orders import flags, money, trail
from orders.actors import Authority
from orders.admin import channel_ends, going_back, listing, returning
from orders.barring import BanKind
from orders.causes import FlagKind
from orders.errors import OrderError
from orders.models import AuditKind, ChannelOrder, ClosingKind
from orders.operations import closing, deciding, ending, giving_up, leasing, noting, refunding
from orders.states import At
from orders.story import sat, when

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Field:
    """What staff type for a deed, in one line. `read` says what is meant by it, or raises InvalidField."""

    label: str
    longest: int
    read: Callable[[str], str]
    #: Typed in a box of several lines.
    is_long: bool = False


def _all_sat(order: ChannelOrder) -> int:
    return money.of(order, At.SEEN).received_sat


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that staff do. With `money` they are asked first, and told what it says of the order.

    With a `field` they type something first, for one order at a time; `run` and `money` are told that, else "". With
    one more (`also`) they are told both, a line each. What `second` says they have to tick besides.
    `permissions`: what it needs beside the right to steer orders at all.
    """

    name: str
    label: str
    done: str
    fits: Callable[[ChannelOrder], bool]
    run: Callable[[UUID, Authority, str], object]
    money: Callable[[ChannelOrder, str], str] | None = None
    field: Field | None = None
    #: One thing more that is typed, in a second line.
    also: Field | None = None
    #: What is to be ticked besides.
    second: str = ""
    #: What it needs beside the right to steer orders at all.
    permissions: tuple[str, ...] = ()
    #: It moves nothing of this order: its button stands behind the others.
    is_aside: bool = False
    #: Why it does not fit an order, for the preview of many.
    why_not: Callable[[ChannelOrder], str] | None = None
    #: What becomes of an order's money, in a word or two by which many are counted; and how much it is.
    way: Callable[[ChannelOrder], str] | None = None
    at_stake_sat: Callable[[ChannelOrder], int] = _all_sat
    #: For the list alone: an order's page has what it is made of.
    is_for_many: bool = False
    #: It moves no money: not even of many is it asked first, and whatever has happened meanwhile is no reason against.
    is_harmless: bool = False

    @property
    def fields(self) -> tuple[Field, ...]:
        """What is typed for it, in order."""
        return tuple(field for field in (self.field, self.also) if field is not None)

    @property
    def asks(self) -> bool:
        """Staff are asked before it is done."""
        return self.money is not None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a deed for one order; `refusal` is "" where it was done."""

    order_id: UUID
    refusal: str


#: Of each order, at which row of its journal it was shown to whoever was asked.
Shown = Mapping[UUID, int]


def perform(
    deed: Deed, order_ids: Iterable[UUID], *, actor: Authority, typed: str = "", shown: Shown | None = None
) -> list[Outcome]:
    """The deed was tried on each order by itself: one that is refused stops no other.

    One to which anything has happened since it was `shown` is left alone; what happens from here on, the operation's
    own guard sees.
    """
    seen = {} if deed.is_harmless or shown is None else shown
    return [Outcome(order_id, _refusal(deed, order_id, actor, typed, seen)) for order_id in order_ids]


def _refusal(deed: Deed, order_id: UUID, actor: Authority, typed: str, shown: Shown) -> str:
    try:
        if order_id in shown and _version(order_id) != shown[order_id]:
            return "Something has happened to it since you were asked: look at it again."
        deed.run(order_id, actor, typed)
    except OrderError as error:
        words = f"{deed.label}: {error.message}"
        trail.add(AuditKind.DEED_REFUSED, words, actor=actor, order_id=_known(order_id), facts={"deed": deed.name})
        return error.message
    except Exception:  # a defect at one order must not hide what was done to those before it
        log.exception("order=%s deed=%s failed", order_id, deed.name)
        return "This failed by a fault of the server; the log says which."
    return ""


def _version(order_id: UUID) -> int | None:
    return ChannelOrder.objects.filter(pk=order_id).values_list("version", flat=True).first()


def _known(order_id: UUID) -> UUID | None:
    return order_id if ChannelOrder.objects.filter(pk=order_id).exists() else None


def _money_returned(order: ChannelOrder, _: str) -> str:
    return "You say that you have sent the buyer's money back yourself. Nothing is sent now, nor opened any more."


def _give_up(order_id: UUID, actor: Authority, _: str) -> object:
    """The buyer reads why: the last failure, in a word that buyers know."""
    last = ChannelOrder.objects.filter(pk=order_id).values_list("last_failure_reason", flat=True).first()
    return giving_up.give_up(order_id, reason=last or "FAILED_OPENING", actor=actor)


def _money_given_up(order: ChannelOrder, _: str) -> str:
    held_sat = returning.held_sat(order)
    if held_sat:
        until = timezone.now() + timedelta(seconds=settings.GIVE_UP_GRACE_SECONDS)
        return f"{sat(held_sat)} stay held until {when(until)} for a retry, and then go back to the buyer."
    until = timezone.now() + timedelta(seconds=settings.GIVE_UP_GRACE_ONCHAIN_SECONDS)
    then = f"and then {going_back.goes(order)}."
    return f"{sat(order.order_total_sat)} stay with us until {when(until)} for a retry, {then}"


def _ban(name: str, kind: BanKind, label: str, done: str) -> Deed:
    """What the order has of this kind is listed as not served."""
    return Deed(
        name=name,
        label=label,
        done=done,
        fits=lambda order: not listing.why_not_listed(order, kind),
        run=lambda order_id, actor, typed: listing.add(order_id, kind, typed, actor),
        money=lambda order, typed: listing.told(order, kind, typed),
        field=Field("Reason", refunding.LONGEST_REASON, refunding.read_reason),
        permissions=("add_ban",),
        is_aside=True,
    )


def _extend(order_id: UUID, actor: Authority, typed: str) -> object:
    days, _, reason = typed.partition("\n")
    return leasing.extend(order_id, days=leasing.read_days(days), reason=reason, actor=actor)


_REASON: Final = Field("Reason", refunding.LONGEST_REASON, refunding.read_reason)

DEEDS: Final[dict[str, Deed]] = {
    deed.name: deed
    for deed in (
        Deed(
            name="retry",
            label="Retry",
            done="Will be tried again",
            fits=lambda order: not giving_up.why_not_retried(order),
            run=lambda order_id, actor, _: giving_up.retry(order_id, actor=actor),
            why_not=giving_up.why_not_retried,
            way=returning.where,
        ),
        Deed(
            name="give_up",
            label="Give up",
            done="Given up",
            fits=lambda order: not giving_up.why_not_given_up(order),
            why_not=giving_up.why_not_given_up,
            run=_give_up,
            money=_money_given_up,
        ),
        Deed(
            name="cancel",
            label="Cancel",
            done="Cancelled",
            fits=lambda order: not ending.why_not_cancelled(order),
            run=lambda order_id, actor, _: ending.cancel(order_id, actor=actor),
            money=returning.cancelled,
            why_not=ending.why_not_cancelled,
            way=returning.way_of_cancelled,
        ),
        Deed(
            name="return_money",
            label="Return the money",
            done="Goes back",
            fits=lambda order: not returning.why_not(order),
            run=lambda order_id, actor, _: returning.return_money(order_id, actor),
            money=returning.told,
            why_not=returning.why_not,
            way=returning.way,
            at_stake_sat=returning.amount_sat,
            is_for_many=True,
        ),
        Deed(
            name="record_returned",
            label="Returned by hand",
            done="Recorded as returned",
            fits=lambda order: not ending.why_not_returned(order),
            why_not=ending.why_not_returned,
            run=lambda order_id, actor, _: ending.record_returned(order_id, actor=actor),
            money=_money_returned,
        ),
        Deed(
            name="revive",
            label="Accept late payment",
            done="Paid after all",
            fits=lambda order: not ending.why_not_revived(order),
            why_not=ending.why_not_revived,
            run=lambda order_id, actor, _: ending.revive(order_id, actor=actor),
            money=going_back.taken,
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
            at_stake_sat=going_back.due_sat,
            field=Field("Reason", refunding.LONGEST_REASON, refunding.read_reason),
        ),
        Deed(
            name="release_refund",
            label="Release what was kept",
            done="Due again",
            fits=lambda order: not refunding.why_not_released(order),
            run=lambda order_id, actor, _: refunding.release(order_id, actor=actor),
            money=going_back.released,
            at_stake_sat=refunding.kept_sat,
        ),
        Deed(
            name="grant_refund",
            label="Grant the proposed refund",
            done="Granted",
            fits=lambda order: not deciding.why_not_granted(order),
            run=lambda order_id, actor, _: deciding.grant(order_id, actor=actor),
            money=going_back.granted,
            at_stake_sat=deciding.proposed_sat,
        ),
        Deed(
            name="decline_refund",
            label="Decline the proposed refund",
            done="Declined",
            fits=lambda order: not deciding.why_not_declined(order),
            run=lambda order_id, actor, typed: deciding.decline(order_id, reason=typed, actor=actor),
            money=going_back.declined,
            at_stake_sat=deciding.proposed_sat,
            field=Field("Reason", refunding.LONGEST_REASON, refunding.read_reason),
        ),
        Deed(
            name="close_channel",
            label="Close the channel",
            done="To be closed",
            fits=lambda order: not closing.why_not_closed(order, ClosingKind.TOGETHER, overriding=False),
            run=lambda order_id, actor, typed: closing.close(order_id, reason=typed, actor=actor),
            money=channel_ends.together,
            field=_REASON,
            permissions=("close_channel",),
        ),
        Deed(
            name="force_channel",
            label="Close the channel by force",
            done="To be closed by force",
            fits=lambda order: not closing.why_not_closed(order, ClosingKind.FORCED, overriding=False),
            run=lambda order_id, actor, typed: closing.force(order_id, reason=typed, actor=actor),
            money=channel_ends.forced,
            field=_REASON,
            second=channel_ends.SECOND,
            permissions=("force_close_channel",),
        ),
        Deed(
            name="override_lease",
            label="Close the channel before its lease's end",
            done="To be closed",
            fits=lambda order: not closing.why_not_closed(order, ClosingKind.TOGETHER, overriding=True),
            run=lambda order_id, actor, typed: closing.override(
                order_id, kind=ClosingKind.TOGETHER, reason=typed, actor=actor
            ),
            money=channel_ends.together_early,
            field=_REASON,
            permissions=("close_channel", "override_lease"),
        ),
        Deed(
            name="override_lease_by_force",
            label="Close the channel by force before its lease's end",
            done="To be closed by force",
            fits=lambda order: not closing.why_not_closed(order, ClosingKind.FORCED, overriding=True),
            run=lambda order_id, actor, typed: closing.override(
                order_id, kind=ClosingKind.FORCED, reason=typed, actor=actor
            ),
            money=channel_ends.forced_early,
            field=_REASON,
            second=channel_ends.SECOND,
            permissions=("force_close_channel", "override_lease"),
        ),
        Deed(
            name="withdraw_close",
            label="Do not close the channel",
            done="Not closed",
            fits=lambda order: not closing.why_not_withdrawn(order),
            run=lambda order_id, actor, _: closing.withdraw(order_id, actor=actor),
            money=channel_ends.withdrawn,
            permissions=("close_channel",),
        ),
        Deed(
            name="extend_lease",
            label="Extend the lease",
            done="Extended",
            fits=lambda order: not leasing.why_not_extended(order),
            run=_extend,
            money=channel_ends.extended,
            field=Field("Days", len(str(leasing.MOST_DAYS)), lambda text: str(leasing.read_days(text))),
            also=_REASON,
            permissions=("extend_lease",),
        ),
        Deed(
            name="note",
            label="Add a note",
            done="Noted",
            fits=lambda order: True,
            run=lambda order_id, actor, typed: noting.write(order_id, typed, actor=actor),
            field=Field("Note", noting.LONGEST_NOTE, noting.read_note, is_long=True),
            is_harmless=True,
            is_aside=True,
        ),
        _ban("ban_node", BanKind.NODE, "Do not serve this node", "Its node is served no more"),
        _ban("ban_address", BanKind.REFUND_ADDRESS, "Do not pay to its refund address", "Nothing goes there any more"),
        _ban("ban_payers", BanKind.PAYER, "Do not serve who paid it", "Who paid it is served no more"),
        Deed(
            name="settle_flag",
            label="Mark as seen",
            done="Marked as seen",
            fits=lambda order: order.needs_staff,
            run=lambda order_id, actor, _: flags.mark_seen(order_id, actor=actor),
            is_harmless=True,
        ),
    )
}


def seen_alone(kind: FlagKind) -> Deed:
    """As "Mark as seen", for one of the order's flags."""
    return replace(
        DEEDS["settle_flag"], run=lambda order_id, actor, _: flags.mark_seen(order_id, actor=actor, only=kind)
    )
