"""What must be true of payments that pass through our node to channels just in time: by the parts that the simulated
node has had, and by what the purchase promised. What the fee is to be is reckoned here anew, in the open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from orders.models import ChannelOrder, JitPart, JitPurchase, PartDecision
from orders.states import InvoiceState
from simulator.channels import COMMIT_FEE_SAT, LOCAL_FORCE, REMOTE_FORCE, Channel
from simulator.invoices import SUCCEEDED
from simulator.passing import ON, Part
from simulator.world import World

_MILLION: Final = 1_000_000
#: The simulated customer demands that we keep so much of a channel: a hundredth.
_RESERVE: Final = 100


@dataclass(frozen=True)
class Passed:
    """What has passed, and over which channels."""

    parts: list[Part]
    #: Paid out by us, and failed back where it came from.
    lost_msat: int
    #: Every number that a channel is called by.
    named: set[int]
    channels: list[Channel]

    def of(self, payment_hash: str) -> list[Part]:
        """The parts of all payments with this hash."""
        return [part for part in self.parts if part.payment_hash == payment_hash]


def facts(world: World) -> Passed:
    """As it is now; nothing of it changes any more."""
    kept = world.passing.kept
    named = {number for numbers in kept.aliases.values() for number in numbers}
    channels = [replace(channel) for channel in world.channels.by_point.values()]
    return Passed([replace(part) for part in kept.parts], kept.lost_msat, named, channels)


def promised_msat(purchase: JitPurchase, payment_msat: int) -> int:
    """The fee of a payment of this size, as its buyer reckons it."""
    share_msat = -(-payment_msat * purchase.proportional_ppm // _MILLION)
    return max(purchase.min_fee_msat, share_msat)


def fee_msat(order: ChannelOrder) -> int:
    """What the order's payment was to leave us."""
    parts = list(order.jit_parts.select_related("purchase").order_by("pk"))
    purchase = parts[0].purchase
    return promised_msat(purchase, purchase.payment_size_msat or parts[0].incoming_msat)


# After every step


def check(order: ChannelOrder, passed: Passed, *, funded: bool) -> None:
    """Nothing was paid out by us, nobody has paid more than he was told, and nothing is published for nothing."""
    assert not passed.lost_msat, f"{passed.lost_msat} msat were paid out by us, and went back to their payer"
    parts, wanted_msat = passed.of(order.hold_invoice.payment_hash), fee_msat(order)
    kept_msat = sum(part.in_msat - part.passed_msat for part in parts if part.out in {ON, SUCCEEDED})
    ours = order.jit_parts.filter(decision=PartDecision.RESUME)
    assert kept_msat <= wanted_msat, f"{order} keeps {kept_msat} msat of what goes on, {wanted_msat} were promised"
    assert sum(row.fee_msat for row in ours) in {0, wanted_msat}, f"{order} takes another fee than {wanted_msat} msat"
    check_number(order, passed)
    check_recorded(order, parts)
    check_gathered(order, passed)
    for channel in passed.channels:
        if channel.memo == str(order.pk):
            check_room(order, channel)
            went_on = any(part.out for part in parts) or channel.remote_sat or channel.stage != "open"
            assert not (funded and trusts_us(order)) or went_on, (
                f"{order} is published, and nothing has gone on over it"
            )
    has_channel = any(channel.memo == str(order.pk) for channel in passed.channels)
    assert not funded or has_channel, f"{order} funds no channel"


def trusts_us(order: ChannelOrder) -> bool:
    """Nothing is to be published before its payment was taken."""
    return JitPurchase.objects.filter(parts__order=order, client_trusts_lsp=True).exists()


def check_number(order: ChannelOrder, passed: Passed) -> None:
    """Whoever let a part go on has given its number to a channel first: else its payer hears that there is none.

    Once the payment is back it may have been taken from that channel again.
    """
    if order.hold_invoice.state == InvoiceState.CANCELLED:
        return
    for row in order.jit_parts.filter(decision=PartDecision.RESUME).select_related("purchase"):
        assert row.purchase.number in passed.named, f"{row} of {order} went on, and no channel has its number"


def check_recorded(order: ChannelOrder, parts: list[Part]) -> None:
    """Of what became of a payment we say what the node says."""
    taken, state = [part for part in parts if part.out == SUCCEEDED], order.hold_invoice.state
    assert state != InvoiceState.SETTLED or taken, f"{order} is settled by our records alone"
    assert state != InvoiceState.CANCELLED or not taken, f"{order} is over by our records, and its buyer has taken it"
    for part in parts:
        assert part.back != SUCCEEDED or part.out == SUCCEEDED, f"{order} was paid for what nobody has got"


def check_gathered(order: ChannelOrder, passed: Passed) -> None:
    """A channel is opened for what has come in, and not for what somebody says of it."""
    rows = list(order.jit_parts.select_related("purchase"))
    ours = {(row.circuit.channel, row.circuit.htlc) for row in rows}
    came_msat = sum(part.in_msat for part in passed.parts if part.circuit in ours)
    size_msat = rows[0].purchase.payment_size_msat or rows[0].incoming_msat
    assert came_msat >= size_msat, f"{order} is of {size_msat} msat, and {came_msat} came in"


def check_room(order: ChannelOrder, channel: Channel) -> None:
    """What goes on passes a channel of ours, with what its other side wants left over."""
    if channel.alias and channel.is_alive:
        parts = list(order.jit_parts.select_related("purchase"))
        size_msat = parts[0].purchase.payment_size_msat or parts[0].incoming_msat
        room_sat = channel.capacity_sat - COMMIT_FEE_SAT - channel.capacity_sat // _RESERVE
        goes_on_msat = size_msat - fee_msat(order)
        assert goes_on_msat <= room_sat * 1000, f"{order}: {goes_on_msat} msat do not pass {channel.capacity_sat} sat"


# At the end


def check_rest(order: ChannelOrder, passed: Passed, payments: list[str], *, funded: bool) -> None:
    """Its payer has paid once, or not at all; its buyer has all but the fee in a funded channel, or nothing."""
    parts = passed.of(order.hold_invoice.payment_hash)
    assert "IN_FLIGHT" not in payments, f"{order}: {payments}"
    assert payments.count(SUCCEEDED) <= 1, f"{order} was paid {payments.count(SUCCEEDED)} times"
    assert all(part.back for part in parts), f"a part of {order} hangs"
    taken = [part for part in parts if part.out == SUCCEEDED]
    state = order.hold_invoice.state
    assert state == (InvoiceState.SETTLED if taken else InvoiceState.CANCELLED), f"{order}: {state}, {len(taken)} taken"
    if not taken:
        return
    assert funded, f"{order}: what its buyer has received is worth nothing"
    wanted_msat, kept_msat = fee_msat(order), sum(part.in_msat - part.passed_msat for part in taken)
    assert kept_msat == wanted_msat, f"{order} kept {kept_msat} msat, and was to keep {wanted_msat}"
    assert order.hold_invoice.held_sat == wanted_msat // 1000, f"{order}: our books have another fee"


def check_nothing_left(passed: Passed) -> None:
    """No part waits for a word of ours, and no channel was closed by force for one."""
    waiting = JitPart.objects.filter(decision="")
    assert not waiting, f"nobody has decided about {list(waiting)}"
    forced = [each for each in passed.channels if each.close_type in {LOCAL_FORCE, REMOTE_FORCE}]
    assert not forced, f"closed by force: {forced}"


def received_sat(passed: Passed, pubkey: str) -> int:
    """What this node has in channels with ours."""
    return sum(each.remote_sat for each in passed.channels if each.pubkey == pubkey and each.is_alive)
