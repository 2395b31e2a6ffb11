"""An order in words, for staff: amounts, times, and what it waits for. Reads only, and nothing that was not loaded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from orders import blocks, money, windows
from orders.models import ChannelClosing, ChannelOpening, ChannelOrder, Refund
from orders.models.order import Rail
from orders.states import ClosingState, DepositState, InvoiceState, OpeningState, OrderState, RefundState

_LIVE: Final = {
    OpeningState.NEGOTIATING: "for the peer to accept the channel",
    OpeningState.FUNDED: "for the peer to sign the first commitment",
    OpeningState.COMMITTED: "for the channel, which is funded as soon as it exists",
    OpeningState.PUBLISHING: "for the funding transaction to reach the network",
    OpeningState.PUBLISHED: "for the funding transaction to be deep in the chain",
    OpeningState.CONFLICTING: "for the transaction that puts out the funding to be deep",
    OpeningState.CANCELLING: "for the attempt to be taken back at the node",
}
_OVER: Final = {
    OrderState.OPEN: "for nothing: the channel is open",
    OrderState.CLOSING: "for the closing transaction to be confirmed",
    OrderState.CLOSED: "for nothing: the channel is closed",
    OrderState.EXPIRED: "for nothing: it was not paid in time",
    OrderState.REFUNDED: "for nothing: the payment went back",
    OrderState.REJECTED: "for nothing: it was rejected",
}


def sat(amount: int | None) -> str:
    """`1,234 sat`, or a dash."""
    return "–" if amount is None else f"{amount:,} sat"


def when(at: datetime | None) -> str:
    """The time in UTC, to the second, or a dash."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "–"


def term(expiry_blocks: int) -> str:
    """`4,032 blocks (4 weeks)`: how long a channel is promised."""
    weeks, rest = divmod(expiry_blocks, blocks.WEEK)
    if rest:
        return f"{expiry_blocks:,} blocks (about {blocks.lasting(expiry_blocks).days:,} days)"
    return f"{expiry_blocks:,} blocks ({weeks:,} {'week' if weeks == 1 else 'weeks'})"


def routing_promise(order: ChannelOrder) -> str:
    """`1,000 msat + 200 ppm`: the most that we have promised to ask for forwarding; or that nothing is promised."""
    if order.most_routing_base_msat is None or order.most_routing_ppm is None:
        return "nothing is promised"
    return f"{order.most_routing_base_msat:,} msat + {order.most_routing_ppm:,} ppm"


def facts(given: dict[str, Any]) -> list[tuple[str, str]]:
    """A journal row's facts, as words."""
    return [(name.removesuffix("_sat").replace("_", " "), _fact(name, value)) for name, value in given.items()]


def _fact(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith("_sat"):
        return sat(value)
    return str(value)


def surprises(order: ChannelOrder) -> list[str]:
    """What is unusual about the order, each in a word or two: why it needs a person, and what buyers see too."""
    named = {
        "paid in no block": order.on_credit,
        "paid late": order.paid_late,
        "underpaid": order.underpaid,
        "overpaid": order.overpaid,
    }
    calls = (flag.label for flag in order.standing)
    return list(dict.fromkeys([*calls, *(name for name, is_so in named.items() if is_so)]))


def warned(order: ChannelOrder) -> str:
    """What the buyer was told of his node before he paid; empty where nothing was."""
    return "; ".join(f"{row['code']} ({row['message'].rstrip('.')})" for row in order.warnings)


def live_opening(order: ChannelOrder) -> ChannelOpening | None:
    """The attempt that is not over, from openings that were loaded before."""
    return next((opening for opening in order.openings.all() if opening.is_live), None)


def paid_with(order: ChannelOrder) -> str:
    """Where the buyer's money is."""
    invoice = order.invoice
    if order.counted_payment == Rail.LIGHTNING and invoice is not None:
        return f"{sat(invoice.held_sat)} by Lightning, {invoice.get_state_display().lower()}"
    there = [deposit for deposit in order.onchain_payments.all() if deposit.state != DepositState.VANISHED]
    seen_sat = sum(deposit.amount_sat for deposit in there)
    if order.counted_payment == Rail.ONCHAIN:
        return f"{sat(seen_sat)} on chain, {_gone_back(order) or 'with us'}"
    return f"nothing that counts; {sat(seen_sat)} seen on chain" if there else "nothing yet"


def _gone_back(order: ChannelOrder) -> str:
    sent = [row for row in order.refunds.all() if row.state in {RefundState.PUBLISHED, RefundState.DONE}]
    return f"of which {sat(sum(row.amount_sat for row in sent))} went back" if sent else ""


def came_by(order: ChannelOrder) -> str:
    """The door, and the token that was shown at it."""
    token = f", token {order.token}" if order.token else ""
    return f"{order.get_door_display()}{token}"


def funding_promise(order: ChannelOrder) -> str:
    """What was promised of its funding."""
    within, depth = order.funding_confirms_within_blocks, order.required_channel_confirmations
    if within is None or depth is None:
        return "nothing"
    refused = ", which its node does not take" if depth == 0 and not order.is_zero_conf else ""
    return f"in a block within {within:,} of the payment; the channel is usable at {depth} confirmations{refused}"


def waits_for(order: ChannelOrder, now: datetime) -> str:
    """What has to happen next, as the rest of a sentence that begins with "It waits"."""
    invoice = order.invoice
    if invoice is not None and invoice.state == InvoiceState.RETURNING:
        return "for the node to say that the Lightning payment is returned"
    live = live_opening(order)
    if live is not None:
        words = _LIVE[OpeningState(live.state)]
        return f"{words} (attempt {live.attempt}, {live.get_state_display().lower()} since {when(live.changed_at)})"
    waits = {
        OrderState.CREATED: _for_payment,
        OrderState.PAID: _for_claim,
        OrderState.URI_SET: _for_attempt,
        OrderState.GIVE_UP: _after_giving_up,
    }.get(OrderState(order.state))
    refund = _live_refund(order)
    if refund is not None and (refund.ends_order or waits is None):
        return _for_refund(order, refund)
    if waits is not None:
        return waits(order, now)
    closing = _waiting_closing(order)
    if closing is not None:
        return _for_close(closing)
    if order.needs_staff:
        return _for_a_person(order)
    return _OVER.get(OrderState(order.state), "for the next look at the node")


def _for_a_person(order: ChannelOrder) -> str:
    return f"for a person to look at it ({', '.join(flag.label for flag in order.standing)})"


def _waiting_closing(order: ChannelOrder) -> ChannelClosing | None:
    """The close that is wanted and has not begun; nobody is asked of orders that have no channel."""
    has_channel = order.state in {OrderState.OPENING, OrderState.OPEN}
    rows = order.closings.all() if has_channel else ()
    return next((row for row in rows if row.state == ClosingState.WAITING), None)


def _for_close(closing: ChannelClosing) -> str:
    after = f", after {closing.trouble}" if closing.trouble else ""
    peer = "" if closing.is_forced else ", with its peer"
    return f"for its channel to be closed{peer}{after}"


def _live_refund(order: ChannelOrder) -> Refund | None:
    """The refund that is not over; nobody is asked where nothing came on chain."""
    refunds = order.refunds.all() if money.may_go_back(order) else ()
    return next((refund for refund in refunds if refund.is_live), None)


def _for_refund(order: ChannelOrder, refund: Refund) -> str:
    if refund.state == RefundState.DUE:
        amount = sat(refund.amount_sat)
        back = f"for {amount} to be sent back on chain"
        return back if order.refund_address else f"for an address, where {amount} go back to"
    mined = "be deep in the chain" if refund.refunded_at else "be mined"
    return f"for the refund of {sat(refund.sent_sat)} to {mined}"


def _for_payment(order: ChannelOrder, now: datetime) -> str:
    if any(deposit.state != DepositState.VANISHED for deposit in order.onchain_payments.all()):
        return "for its deposits to cover the total, deep enough"
    return f"for the buyer to pay, until {when(order.expires_at)}"


def _for_claim(order: ChannelOrder, now: datetime) -> str:
    return f"for the buyer to name a node, until {when(windows.usable_until(order, order.claim_expires_at))}"


def _for_attempt(order: ChannelOrder, now: datetime) -> str:
    if order.due_at is None and order.needs_staff:
        return _for_a_person(order)
    if not order.last_failure_reason or order.due_at is None or order.due_at <= now:
        return "for the worker to try to open the channel"
    until = windows.usable_until(order, order.open_deadline_at)
    ends = f"; gives up at {when(until)}" if until else ""
    return f"for the next try at {when(order.due_at)}, after {order.last_failure_reason}{ends}"


def _after_giving_up(order: ChannelOrder, now: datetime) -> str:
    invoice = order.invoice
    if order.counted_payment == Rail.LIGHTNING and invoice is not None and invoice.state == InvoiceState.HELD:
        until = windows.usable_until(order, order.give_up_until)
        return f"for a retry until {when(until)}; then the held payment goes back"
    if order.give_up_until is not None and order.give_up_until > now:
        return f"for a retry until {when(order.give_up_until)}; then the money goes back on chain"
    return "for a person, or for its deposits to be final: then the money goes back on chain"
