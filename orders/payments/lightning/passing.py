"""The payment of a channel that opens just in time: in parts that our node holds, on its way to the buyer himself.

It is never ours: what is ours is the fee, which we take from the first parts when they go on. What becomes of a part
is a row before our node is told, and the same whenever it asks again: a part that went on and were failed then would be
paid out by us. All parts of a payment are decided together, in one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone

from lightning.errors import NodeUnavailable, NotFound, Rejected
from lightning.node import LndNode
from lightning.types import Channel, Htlc
from orders import leases
from orders.causes import Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelOrder, JitPart, JitPurchase, PartDecision
from orders.nudges import nudge
from orders.opening_fee import Fee, shares
from orders.payments.rail import SETTLED, Security
from orders.states import InvoiceState, OpeningState, OrderState
from orders.transitions import locked, move_invoice, note

#: So many blocks before its end a part is not held any more: LND itself fails one 19 blocks before, and a wallet takes
#: none that ends within some blocks.
_MARGIN_BLOCKS: Final = 12
#: So many blocks before what the buyer's node holds runs out its channel is published, taken or not: LND closes such a
#: channel by force, and can do that only with one that is in the chain. Else the part's payer would close his.
_PUBLISH_BEFORE_BLOCKS: Final = 12


#: The node's history is asked from so long before the first part came.
_CLOCKS_DIFFER_SECONDS: Final = 3_600
_PAGE: Final = 5_000
_SOON: Final = timedelta(milliseconds=300)
_SOON_ENOUGH: Final = timedelta(seconds=30)
_PART_OF_ITS_AGE: Final = 20
_MOST_PAGES: Final = 40


class Outcome(StrEnum):
    """What has become of a payment that was passed on, by what the node has."""

    UNDER_WAY = "under_way"
    #: All of it is the buyer's, and the fee ours.
    TAKEN = "taken"
    #: The buyer has taken less than was passed on, or our fee is not all there; nothing is on its way any more.
    TAKEN_IN_PART = "taken_in_part"
    #: No part of it is anywhere any more.
    GONE = "gone"
    #: The buyer's node holds it, and it runs out soon.
    RUNS_OUT = "runs_out"


class Become(NamedTuple):
    """What has become of a payment, and what of it was kept, of the parts that were taken (msat)."""

    outcome: Outcome
    kept_msat: int = 0


_ENDS: Final = frozenset({Outcome.TAKEN, Outcome.TAKEN_IN_PART, Outcome.GONE})
_PUBLISHED: Final = (OpeningState.PUBLISHED, OpeningState.CONFIRMED)
_CHANNEL_ENDS: Final = frozenset({OrderState.CLOSING, OrderState.CLOSED})


@dataclass(frozen=True, slots=True)
class Passed:
    """A payment that was passed on, and over which channel."""

    parts: tuple[JitPart, ...]
    payment_hash: str

    def become(self, with_peer: Sequence[Channel], node: LndNode, *, height: int) -> Become:
        """What has become of it. `with_peer`: all channels with its buyer, as the node has them now.

        LND passes a part on over whichever of them can carry it. What was taken is in its history, under the circuit
        that it came by. Where the node has none of the parts' first halves any more, what is not there never will be:
        it was failed further on, or never went on. So these are asked for first, and the history once more after that.
        Raises: NodeUnavailable.
        """
        ends = [each.expiry_height for channel in with_peer for each in channel.htlcs if self._is_carried(each)]
        if ends:
            return Become(Outcome.RUNS_OUT if height >= min(ends) - _PUBLISH_BEFORE_BLOCKS else Outcome.UNDER_WAY)
        if (told := self._told(self._taken(node))).outcome is Outcome.TAKEN:
            return told
        if self._is_held(node):
            return Become(Outcome.UNDER_WAY)
        return self._told(self._taken(node))

    def _told(self, taken: Mapping[tuple[int, int], int]) -> Become:
        """By the parts that were settled, and what of each was kept (msat): all of it, with our fee, or less."""
        if not taken:
            return Become(Outcome.GONE)
        kept_msat = sum(taken.values())
        is_whole = len(taken) == len(self.parts) and kept_msat >= sum(part.fee_msat for part in self.parts)
        return Become(Outcome.TAKEN if is_whole else Outcome.TAKEN_IN_PART, kept_msat)

    def _is_carried(self, htlc: Htlc) -> bool:
        return not htlc.incoming and htlc.payment_hash == self.payment_hash

    @property
    def _circuits(self) -> set[tuple[int, int]]:
        return {(int(part.chan_id), part.htlc_id) for part in self.parts}

    def fee_came_back(self, node: LndNode) -> tuple[JitPart, ...]:
        """Those parts with our fee that their payer has again: no more where they came in, and taken by nobody.

        Of a part whose channel is being closed nobody knows that. Raises: NodeUnavailable.
        """
        held = {each.known_as: {htlc.index for htlc in each.htlcs if htlc.incoming} for each in node.channels()}
        bearing = [part for part in self.parts if part.fee_msat and int(part.chan_id) in held]
        gone = [part for part in bearing if part.htlc_id not in held[int(part.chan_id)]]
        taken = self._taken(node) if gone else {}
        return tuple(part for part in gone if (int(part.chan_id), part.htlc_id) not in taken)

    def _is_held(self, node: LndNode) -> bool:
        """A part of it has not come to its end on the side of who pays it. Raises: NodeUnavailable."""
        ours = self._circuits
        return any(
            htlc.incoming and (channel.known_as, htlc.index) in ours
            for channel in node.channels()
            for htlc in channel.htlcs
        )

    def _taken(self, node: LndNode) -> dict[tuple[int, int], int]:
        """The parts of it that the node's history tells of, as they were settled, and what of each was kept (msat).

        Raises: NodeUnavailable.
        """
        since = _before(self.parts)
        found: dict[tuple[int, int], int] = {}
        for skip in range(0, _MOST_PAGES * _PAGE, _PAGE):
            told = node.forwards(from_second=since, skip=skip, most=_PAGE)
            kept = {(each.channel_in, each.htlc_in): each.in_msat - each.out_msat for each in told}
            found |= {(at, htlc): msat for (at, htlc), msat in kept.items() if htlc is not None}
            if len(told) < _PAGE:
                break
        return {circuit: msat for circuit, msat in found.items() if circuit in self._circuits}


def of(order: ChannelOrder) -> Passed:
    """The order's payment as it was passed on; without parts before that."""
    rows = order.jit_parts.filter(decision=PartDecision.RESUME)
    return Passed(tuple(rows), order.hold_invoice.payment_hash)


def purchase_of(order: ChannelOrder) -> JitPurchase:
    """What its buyer bought."""
    first = order.jit_parts.select_related("purchase").first()
    assert first is not None  # the order was made for it
    return first.purchase


def trusts_us(order: ChannelOrder) -> bool:
    """Its buyer uses the channel before its funding is published."""
    return order.is_jit and purchase_of(order).client_trusts_lsp


def look(order: ChannelOrder, node: LndNode) -> Security:
    """The held parts, and for how many blocks we may go on to hold them; what was passed on counts as secured.

    Raises: NodeUnavailable.
    """
    invoice = order.hold_invoice
    if invoice.state == InvoiceState.SETTLED:
        return SETTLED
    if invoice.state != InvoiceState.HELD:
        return Security(secured=False, lost=True, reason="the payment goes back")
    if order.jit_parts.filter(decision=PartDecision.RESUME).exists():
        return Security(secured=True, lost=False, reason="passed on")
    waiting = list(undecided(order))
    if not _is_enough(purchase_of(order), waiting):
        return Security(secured=False, lost=True, reason="not enough of it is held any more")
    spare = _spare_blocks(waiting, node.info().block_height)
    if spare < 0:
        return Security(secured=False, lost=True, reason="the parts run out too soon", spare_blocks=spare)
    return Security(secured=True, lost=False, reason="held", spare_blocks=spare)


def _spare_blocks(waiting: Iterable[JitPart], height: int) -> int:
    """For so many blocks more they may be held; below 0: our node is about to fail one, or no wallet takes it."""
    return min(min(part.auto_fail_height, part.outgoing_expiry) for part in waiting) - _MARGIN_BLOCKS - height


def running_out(parts: QuerySet[JitPart], height: int) -> QuerySet[JitPart]:
    """Of these, what is held no longer: `_spare_blocks` of each is below 0."""
    soon = height + _MARGIN_BLOCKS
    return parts.filter(Q(auto_fail_height__lt=soon) | Q(outgoing_expiry__lt=soon))


def _is_enough(purchase: JitPurchase, waiting: Sequence[JitPart]) -> bool:
    """Counted by what came in: what the senders want passed on nobody has tested."""
    return bool(waiting) and sum(part.incoming_msat for part in waiting) >= (purchase.payment_size_msat or 0)


def undecided(order: ChannelOrder) -> QuerySet[JitPart]:
    """All parts of its payment that nobody has decided about; also those that came when there were enough."""
    purchase_ids = order.jit_parts.values("purchase")[:1]
    payment_hash = order.hold_invoice.payment_hash
    return JitPart.objects.filter(purchase__in=purchase_ids, payment_hash=payment_hash, decision="")


def pass_on(order_id: UUID, channel: Channel, node: LndNode) -> bool:
    """The payment goes on over this channel, less our fee; whether it is so now. It does not where there is not enough
    of it any more, or it runs out too soon.

    The purchase's number is an alias of the channel before any part goes on: else LND would know no such channel, and
    the payer would hear that there is none.
    Money: from this commit on the fee is ours if the buyer takes the payment; what he does not take goes back.
    Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown; Rejected where another channel has the alias.
    """
    with locked(order_id) as order:
        purchase, passed = purchase_of(order), of(order)
    node.add_alias(channel.known_as, purchase.number)
    before = moves(node.channels_with(channel.peer_pubkey)) if undecided(order).exists() else {}
    height, without_fee = node.info().block_height, passed.fee_came_back(node) if passed.parts else ()
    with locked(order_id) as order:
        return _record_passed_on(order, height, without_fee, before)


def moves(with_peer: Iterable[Channel]) -> dict[str, int]:
    """How often what is in each of these channels has changed, by their outpoints."""
    return {str(each.outpoint): each.updates for each in with_peer}


def _record_passed_on(
    order: ChannelOrder,
    height: int,
    without_fee: Collection[JitPart] = (),
    before: Mapping[str, int] | None = None,
) -> bool:
    may_carry = order.openings.filter(state__in=[OpeningState.CARRYING, *_PUBLISHED])
    if order.hold_invoice.state != InvoiceState.HELD or not may_carry.exists():
        return False  # somebody has ended it meanwhile
    purchase = _hold(order)
    waiting = list(undecided(order).order_by("pk"))
    for part in waiting:
        part.moves = dict(before or {})
    if of(order).parts:
        went_on = _after_them(order, waiting, height, without_fee)
    else:
        went_on = _first(order, purchase, waiting, height)
    if went_on and may_carry.filter(state__in=_PUBLISHED).exists():
        number_is_used(order)
    return went_on


def _first(order: ChannelOrder, purchase: JitPurchase, waiting: Sequence[JitPart], height: int) -> bool:
    """Those that are enough go on together, less our fee."""
    if not _is_enough(purchase, waiting) or _spare_blocks(waiting, height) < 0:
        return False
    taken = shares([part.incoming_msat for part in waiting], _fee_msat(order, purchase, waiting))
    if taken is not None:
        _resume(order, waiting, taken)
    return taken is not None


def _after_them(order: ChannelOrder, waiting: Iterable[JitPart], height: int, without_fee: Collection[JitPart]) -> bool:
    """Our fee is taken already: what came later goes on whole, but for what of it has come back, unless it runs out too
    soon, or cannot bear that.

    That goes back at once: what nobody decides about is let go in doubt, and may then never be failed.
    """
    lasting = [part for part in waiting if _spare_blocks([part], height) >= 0]
    came_back = JitPart.objects.filter(pk__in=[part.pk for part in without_fee])
    taken = shares([part.incoming_msat for part in lasting], sum(came_back.values_list("fee_msat", flat=True)))
    if lasting and taken is not None:
        came_back.update(fee_msat=0)  # our node never asks again about what has come to its end
        _resume(order, lasting, taken)
    turn_back(order, reason="TOO_FEW_BLOCKS" if taken is not None else "PARTS_TOO_SMALL", is_final=False)
    return True


def _resume(order: ChannelOrder, parts: Sequence[JitPart], fees_msat: Sequence[int]) -> None:
    if not parts:
        return
    for part, fee_msat in zip(parts, fees_msat, strict=True):
        part.order, part.fee_msat = order, fee_msat
        part.decision, part.decided_at = PartDecision.RESUME, timezone.now()
    JitPart.objects.bulk_update(parts, ["order", "fee_msat", "decision", "decided_at", "moves"])
    note(order, Cause.PARTS_PASSED_ON, parts=len(parts), fee_msat=sum(fees_msat))
    order.step += 1
    nudge(order)


def number_is_used(order: ChannelOrder) -> None:
    """Whatever names what its buyer bought is a payment like any other from now on, where the order's has gone on.

    The caller holds the order's row, and knows that the channel is published, or will be. Before that each part that
    names it has its row: one that went on without a row, over a channel that came to nothing, would be failed when our
    node asks again, and paid out by us if it went over another channel of the same peer.
    """
    if order.is_jit and of(order).parts:
        purchase = _hold(order)
        JitPurchase.objects.filter(pk=purchase.pk, opened_at=None).update(opened_at=timezone.now())


def left_nothing(order: ChannelOrder, node: LndNode) -> bool:
    """No payment is in the channel that is called as what the order's buyer bought, or was ever taken over it, under
    whatever name: said of one that the node does not list any more.

    What is on its way in it has its other half in another channel, where the node says by which it went out. That is
    asked for first, as what it has become of is in the node's history before the other half is gone.
    Repeat: safe. Raises: NodeUnavailable.
    """
    parts = of(order).parts
    if not parts:
        return True
    number = purchase_of(order).number
    called_so = {channel for channel, names in node.aliases().items() if number in names}
    halves = (htlc for channel in node.channels() for htlc in channel.htlcs if htlc.incoming)
    if not called_so or any(htlc.other_channel in called_so for htlc in halves):
        return False
    return not node.forwards(from_second=_before(parts), skip=0, most=1, out_by=called_so)


def _before(parts: Iterable[JitPart]) -> int:
    """From then on the node's history has what has become of these parts, whatever its clock says; in seconds."""
    return int(min(part.heard_at for part in parts).timestamp()) - _CLOCKS_DIFFER_SECONDS


def take_number_back(order: ChannelOrder, node: LndNode) -> None:
    """No channel that is no more is called as what the order's buyer bought: the next one may be.

    LND keeps that of a channel which was abandoned, or closed. A channel that is there keeps it, whosesoever it is.
    Where our macaroon does not allow it (any more) it stays as it is.
    Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown.
    """
    number = purchase_of(order).number
    try:
        called_so = {channel for channel, names in node.aliases().items() if number in names}
        if called_so:
            for gone in called_so - {channel.known_as for channel in node.channels()}:
                node.remove_alias(gone, number)
    except NodeUnavailable as error:
        if error.reason != "PERMISSION_DENIED":
            raise


def _fee_msat(order: ChannelOrder, purchase: JitPurchase, waiting: Iterable[JitPart]) -> int:
    """Of the payment as it was bought; where its first part said it, as that did."""
    size_msat = purchase.payment_size_msat
    if size_msat is None:
        size_msat = sum(part.incoming_msat for part in waiting if part.order_id == order.pk)
    return Fee(purchase.min_fee_msat, purchase.proportional_ppm).of(size_msat)


def _hold(order: ChannelOrder) -> JitPurchase:
    """The purchase's row, after the order's: whoever hears of a part holds it too."""
    return JitPurchase.objects.select_for_update().get(pk=purchase_of(order).pk)


def turn_back(order: ChannelOrder, *, reason: str, is_final: bool) -> int:
    """What nobody has decided about goes back: how many parts that is. The caller holds the order's row.

    `is_final`: its payer hears that there is no such channel; else that he may try again.
    """
    _hold(order)
    decision = PartDecision.REFUSE if is_final else PartDecision.FAIL
    count = undecided(order).update(decision=decision, decided_at=timezone.now(), reason=reason[:64])
    if count:
        note(order, Cause.PARTS_FAILED, parts=count, why=reason)
    return count


def turn_back_the_rest(order_id: UUID, *, reason: str) -> None:
    """As `turn_back`, of parts that came after the others have gone on: they may be tried again. Repeat: safe."""
    with locked(order_id) as order:
        turn_back(order, reason=reason, is_final=False)


def settle(order_id: UUID, node: LndNode) -> None:
    """The payment of an order whose funding is published goes on, where it has not; and what has become of it is
    recorded, once it has come to its end.

    Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown.
    """
    with locked(order_id) as order:
        opened = order.openings.filter(state__in=_PUBLISHED).select_related("transaction").last()
        is_held = order.hold_invoice.state == InvoiceState.HELD
    if opened is None or not is_held:
        return
    with_peer = node.channels_with(opened.node_pubkey)
    channel = next((each for each in with_peer if str(each.outpoint) == opened.funding_outpoint), None)
    goes_on = _goes_on(order, channel, node)
    passed = of(order)
    if passed.parts:
        become = passed.become(with_peer, node, height=node.info().block_height)
        if become.outcome in _ENDS:
            conclude(order_id, become)
    elif not goes_on:
        _give_back(order_id)


def _goes_on(order: ChannelOrder, channel: Channel | None, node: LndNode) -> bool:
    """It does now, over the published channel, or may yet: while that lasts, and the payer's time is not over."""
    if channel is None or not channel.active:
        return order.state not in _CHANNEL_ENDS and not is_over(order, timezone.now())
    try:
        return pass_on(order.pk, channel, node)
    except (Rejected, NotFound):  # another channel has its number
        return False


def pause(order: ChannelOrder, now: datetime) -> timedelta:
    """When to look at the payment again that is on its way: its payer waits, but it may be held for days."""
    return min(max(_SOON, (now - (order.paid_at or now)) / _PART_OF_ITS_AGE), _SOON_ENOUGH)


def is_over(order: ChannelOrder, now: datetime) -> bool:
    """The time is over in which its payment was to go on, or nothing of it is held any more that could."""
    in_time = order.open_deadline_at is None or order.open_deadline_at > now
    return not (in_time and undecided(order).exists())


def _give_back(order_id: UUID) -> None:
    """Nothing of the payment has gone on over the published channel, and nothing will: its payer has it back."""
    with locked(order_id) as order:
        if order.hold_invoice.state == InvoiceState.HELD and not of(order).parts:
            turn_back(order, reason="NOT_PASSED_ON", is_final=False)
            record(order, Become(Outcome.GONE))


def conclude(order_id: UUID, become: Become) -> None:
    """As `settle`, by who has seen what has become of it. Repeat: safe."""
    with locked(order_id) as order:
        record(order, become)


def record(order: ChannelOrder, become: Become) -> None:
    """The order's payment is SETTLED, with what of our fee is there; or CANCELLED. The caller holds the order's row.

    A part that came after the others, and has not gone on by now, goes back: nobody looks at it any more.
    Repeat: safe.
    """
    invoice, outcome = order.hold_invoice, become.outcome
    if invoice.state != InvoiceState.HELD:
        return
    if outcome is Outcome.GONE:
        move_invoice(order, invoice, InvoiceState.CANCELLED, cancelled_at=timezone.now())
        note(order, Cause.PAYMENT_NOT_TAKEN)
    else:
        there_sat = min(invoice.held_sat, become.kept_msat // 1000)
        move_invoice(order, invoice, InvoiceState.SETTLED, settled_at=timezone.now(), held_sat=there_sat)
        note(order, Cause.PAYMENT_SETTLED, amount_sat=there_sat)
    turn_back(order, reason="PAYMENT_ENDED", is_final=False)
    _flag_unpaid(order, outcome)
    leases.reckon(order)
    nudge(order)


def _flag_unpaid(order: ChannelOrder, outcome: Outcome) -> None:
    """A person is told of a channel whose fee is not all there.

    What the buyer's node has left of a payment whose fee we have is between its payer and him.
    """
    there_sat, total_sat = order.hold_invoice.held_sat, order.order_total_sat
    published = order.openings.filter(state__in=[OpeningState.PUBLISHING, *_PUBLISHED])
    if outcome is Outcome.TAKEN_IN_PART and there_sat < total_sat:
        there = f"{there_sat} of {total_sat} sat are there"
        words = f"The buyer's node has taken a part of the payment only: of our fee {there}."
        raise_flag(order, FlagKind.UNPAID_CHANNEL, words)
    elif outcome is Outcome.GONE and published.exists():
        words = "The funding is published, and the buyer's node has not taken the payment: this channel is unpaid."
        raise_flag(order, FlagKind.UNPAID_CHANNEL, words)
