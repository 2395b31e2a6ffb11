"""What a deed does to money that goes back on chain, in words: read before it is done."""

from __future__ import annotations

from typing import Final

from orders import money
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.operations import deciding, refunding
from orders.payments import judging, onchain, security
from orders.states import At
from orders.story import sat

#: In a few words, by which many are counted.
PROPOSED: Final = "paid by Lightning: is proposed, somebody has to grant it"


def addressed(order: ChannelOrder, address: str) -> str:
    """What goes where, and that it can be said otherwise until it is signed."""
    place = address or "the address that you give"
    before = f", not to {order.refund_address}" if order.refund_address not in {"", address} else ""
    refund = onchain.live_refund(order)
    if refund is None and (proposed_sat := deciding.proposed_sat(order)):
        return f"Nothing is sent now: if the {sat(proposed_sat)} are granted, they go to {place}{before}. {_COST}"
    if refund is None and (kept := refunding.kept_sat(order)):
        return f"Nothing is sent now: {sat(kept)} are kept, and go to {place}{before} once they are released. {_COST}"
    if refund is None:
        came = f"{sat(refunding.undecided_sat(order))} came on chain, and may buy the channel yet"
        return f"Nothing is sent now: {came}. What of it has to go back goes to {place}{before}. {_COST}"
    return f"{sat(refund.amount_sat)} of the buyer's go back on chain to {place}{before}. {_COST}"


#: The fee is that of the moment when it is signed, some seconds after an address is known.
_COST = (
    "What sending costs is taken from it, and is not known before it is signed. From then on the address "
    "cannot be changed, and what was sent to a wrong one is lost."
)


def taken(order: ChannelOrder, _: str) -> str:
    """What of a late payment becomes ours, for what, and what of it stays the buyer's."""
    came = money.of(order, At.DEEP, rail=Rail.ONCHAIN)
    rest = f" {sat(came.surplus_sat)} more stay the buyer's: they go back, or into the channel."
    return (
        f"{sat(came.owed_sat)} of the buyer's that came on chain become ours, and the channel is owed for them at the "
        f"price of its quote, {_price(order)}. They go back only if it cannot be opened, or nobody claims it."
        f"{rest if came.surplus_sat else ''}"
    )


def _price(order: ChannelOrder) -> str:
    today_sat = judging.fee_today_sat(order)
    today = f" (today it would be {sat(today_sat)})" if today_sat != order.fee_total_sat else ""
    return f"{sat(order.fee_total_sat)}{today}"


def due_sat(order: ChannelOrder) -> int:
    """What is to go back; 0: nothing is."""
    refund = onchain.live_refund(order)
    return refund.amount_sat if refund else 0


def kept(order: ChannelOrder, reason: str) -> str:
    """What stays, whose it is, and why."""
    amount_sat = due_sat(order)
    why = f" The journal says why: {reason}" if reason else ""
    return (
        f"{sat(amount_sat)} stay in our wallet and are the buyer's still. Nothing is sent, to nobody, until they are "
        f"released, or returned by hand.{why}"
    )


def released(order: ChannelOrder, _: str) -> str:
    """What is due again, and where it goes."""
    where = f"to {order.refund_address}. {_COST}" if order.refund_address else "as soon as an address is known."
    return f"{sat(refunding.kept_sat(order))} that were kept for the buyer go back on chain, {where}"


def granted(order: ChannelOrder, _: str) -> str:
    """What goes where, and that it is our money until then."""
    where = f"to {order.refund_address}. {_COST}" if order.refund_address else "as soon as an address is known."
    return f"{sat(deciding.proposed_sat(order))} of our money go to the buyer on chain, {where}"


def declined(order: ChannelOrder, reason: str) -> str:
    """What stays, and why."""
    why = f" The journal says why: {reason}" if reason else ""
    return f"{sat(deciding.proposed_sat(order))} that were proposed to go back stay ours.{why}"


def is_proposed(order: ChannelOrder) -> bool:
    """What was paid is a settled Lightning payment: what of it goes back is a person's to decide."""
    return order.counted_payment == Rail.LIGHTNING and security.is_ours(order)


def goes(order: ChannelOrder) -> str:
    """The rest of a sentence that begins with what goes back, once the order comes to nothing."""
    if is_proposed(order):
        return "are proposed to go back to the buyer on chain: somebody has to grant it"
    where = f"to {order.refund_address}" if order.refund_address else "as soon as an address is known"
    return f"go back to the buyer on chain by themselves, {where}, once the deposits are final"
