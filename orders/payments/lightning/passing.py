"""The payment of a channel that opens just in time: in parts that our node holds, on its way to the buyer himself.

It is never ours: what is ours is the fee, which we take from the first parts when they go on. What becomes of a part
is a row before our node is told, and the same whenever it asks again: a part that went on and were failed then would be
paid out by us. All parts of a payment are decided together, in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from lightning.node import LndNode
from lightning.types import Channel, Htlc
from orders.causes import Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelOrder, JitPart, JitPurchase, PartDecision
from orders.nudges import nudge
from orders.opening_fee import Fee, shares
from orders.payments.rail import SETTLED, Security
from orders.states import InvoiceState, OpeningState
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


_ENDS: Final = frozenset({Outcome.TAKEN, Outcome.TAKEN_IN_PART, Outcome.GONE})
_PUBLISHED: Final = (OpeningState.PUBLISHED, OpeningState.CONFIRMED)


@dataclass(frozen=True, slots=True)
class Passed:
    """A payment that was passed on, and over which channel."""

    parts: tuple[JitPart, ...]
    payment_hash: str

    def outcome(self, with_peer: Sequence[Channel], node: LndNode, *, height: int) -> Outcome:
        """What has become of it. `with_peer`: all channels with its buyer, as the node has them now.

        LND passes a part on over whichever of them can carry it. What was taken is in its history, under the circuit
        that it came by. Where the node has none of the parts' first halves any more, what is not there never will be:
        it was failed further on, or never went on. So these are asked for first, and the history once more after that.
        Raises: NodeUnavailable.
        """
        ends = [each.expiry_height for channel in with_peer for each in channel.htlcs if self._is_carried(each)]
        if ends:
            return Outcome.RUNS_OUT if height >= min(ends) - _PUBLISH_BEFORE_BLOCKS else Outcome.UNDER_WAY
        if (told := self._told(self._taken(node))) is Outcome.TAKEN:
            return told
        if self._is_held(node):
            return Outcome.UNDER_WAY
        return self._told(self._taken(node))

    def _told(self, taken: Mapping[tuple[int, int], int]) -> Outcome:
        """By the parts that were settled, and what of each was kept (msat): all of it, with our fee, or less."""
        if not taken:
            return Outcome.GONE
        is_whole = len(taken) == len(self.parts) and sum(taken.values()) >= sum(part.fee_msat for part in self.parts)
        return Outcome.TAKEN if is_whole else Outcome.TAKEN_IN_PART

    def _is_carried(self, htlc: Htlc) -> bool:
        return not htlc.incoming and htlc.payment_hash == self.payment_hash

    @property
    def _circuits(self) -> set[tuple[int, int]]:
        return {(int(part.chan_id), part.htlc_id) for part in self.parts}

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
        since = int(min(part.heard_at for part in self.parts).timestamp()) - _CLOCKS_DIFFER_SECONDS
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
    ends = min(min(part.auto_fail_height, part.outgoing_expiry) for part in waiting)
    spare = ends - _MARGIN_BLOCKS - node.info().block_height
    if spare < 0:
        return Security(secured=False, lost=True, reason="the parts run out too soon", spare_blocks=spare)
    return Security(secured=True, lost=False, reason="held", spare_blocks=spare)


def _is_enough(purchase: JitPurchase, waiting: Sequence[JitPart]) -> bool:
    """Counted by what came in: what the senders want passed on nobody has tested."""
    return bool(waiting) and sum(part.incoming_msat for part in waiting) >= (purchase.payment_size_msat or 0)


def undecided(order: ChannelOrder) -> QuerySet[JitPart]:
    """All parts of its payment that nobody has decided about; also those that came when there were enough."""
    purchase_ids = order.jit_parts.values("purchase")[:1]
    payment_hash = order.hold_invoice.payment_hash
    return JitPart.objects.filter(purchase__in=purchase_ids, payment_hash=payment_hash, decision="")


def pass_on(order_id: UUID, channel: Channel, node: LndNode) -> bool:
    """The payment goes on over this channel, less our fee; whether it is so now.

    The purchase's number is an alias of the channel before any part goes on: else LND would know no such channel, and
    the payer would hear that there is none.
    Money: from this commit on the fee is ours if the buyer takes the payment; what he does not take goes back.
    Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown; Rejected where another channel has the alias.
    """
    with locked(order_id) as order:
        purchase = purchase_of(order)
    node.add_alias(channel.known_as, purchase.number)
    with locked(order_id) as order:
        return _record_passed_on(order)


def _record_passed_on(order: ChannelOrder) -> bool:
    may_carry = order.openings.filter(state__in=[OpeningState.CARRYING, *_PUBLISHED])
    if order.hold_invoice.state != InvoiceState.HELD or not may_carry.exists():
        return False  # somebody has ended it meanwhile
    purchase = _hold(order)
    waiting = list(undecided(order).order_by("pk"))
    if not waiting and order.jit_parts.filter(decision=PartDecision.RESUME).exists():
        return True
    if not _is_enough(purchase, waiting):
        return False
    taken = shares([part.incoming_msat for part in waiting], _fee_msat(order, purchase, waiting))
    if taken is None:
        return False
    now = timezone.now()
    for part, fee_msat in zip(waiting, taken, strict=True):
        part.order, part.fee_msat = order, fee_msat
        part.decision, part.decided_at = PartDecision.RESUME, now
    JitPart.objects.bulk_update(waiting, ["order", "fee_msat", "decision", "decided_at"])
    JitPurchase.objects.filter(pk=purchase.pk, opened_at=None).update(opened_at=now)
    note(order, Cause.PARTS_PASSED_ON, parts=len(waiting), fee_msat=sum(taken))
    order.step += 1
    nudge(order)
    return True


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


def settle(order_id: UUID, node: LndNode) -> None:
    """The payment of an order whose funding is published goes on, where it has not; and what has become of it is
    recorded, once it has come to its end.

    Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown; Rejected where another channel has the alias.
    """
    with locked(order_id) as order:
        opened = order.openings.filter(state__in=_PUBLISHED).select_related("transaction").last()
        is_held = order.hold_invoice.state == InvoiceState.HELD
    if opened is None or not is_held:
        return
    with_peer = node.channels_with(opened.node_pubkey)
    channel = next((each for each in with_peer if str(each.outpoint) == opened.funding_outpoint), None)
    if channel is not None and channel.active:
        pass_on(order_id, channel, node)
    passed = of(order)
    outcome = passed.outcome(with_peer, node, height=node.info().block_height) if passed.parts else Outcome.UNDER_WAY
    if outcome in _ENDS:
        conclude(order_id, outcome)


def conclude(order_id: UUID, outcome: Outcome) -> None:
    """As `settle`, by who has seen what has become of it. Repeat: safe."""
    with locked(order_id) as order:
        record(order, outcome)


def record(order: ChannelOrder, outcome: Outcome) -> None:
    """The order's payment is SETTLED, or CANCELLED. The caller holds the order's row. Repeat: safe."""
    invoice = order.hold_invoice
    if invoice.state != InvoiceState.HELD:
        return
    if outcome is Outcome.GONE:
        move_invoice(order, invoice, InvoiceState.CANCELLED, cancelled_at=timezone.now())
        note(order, Cause.PAYMENT_NOT_TAKEN)
    else:
        move_invoice(order, invoice, InvoiceState.SETTLED, settled_at=timezone.now())
        note(order, Cause.PAYMENT_SETTLED, amount_sat=invoice.held_sat)
    if outcome is Outcome.TAKEN_IN_PART:
        words = "The buyer's node has taken a part of the payment only: what of our fee is there, its channels tell."
        raise_flag(order, FlagKind.UNPAID_CHANNEL, words)
    elif outcome is Outcome.GONE and order.openings.filter(state__in=[OpeningState.PUBLISHING, *_PUBLISHED]).exists():
        words = "The funding is published, and the buyer's node has not taken the payment: this channel is unpaid."
        raise_flag(order, FlagKind.UNPAID_CHANNEL, words)
    nudge(order)
