"""The Lightning payment, as the node has it and as we have recorded it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from django.conf import settings

from lightning import types
from lightning.errors import NotFound
from lightning.node import LndNode
from orders import keys
from orders.causes import Cause
from orders.models import ChannelOrder, HoldInvoice, NodeSnapshot
from orders.payments.lightning import passing
from orders.payments.rail import SETTLED, Security
from orders.states import InvoiceState

_AT_THE_NODE: Final = {
    InvoiceState.OPEN: types.NodeInvoiceState.OPEN,
    InvoiceState.HELD: types.NodeInvoiceState.ACCEPTED,
}
#: What finding one invoice by its hash costs, in invoices that LND reads for a list: a call, beside some 20 µs each.
_READS_OF_ONE_LOOK: Final = 50
#: So few are asked for by hash, whatever the node has.
_FEW: Final = 10
_STANDS: Final = frozenset({InvoiceState.HELD, InvoiceState.SETTLED})


def look(order: ChannelOrder, node: LndNode, height: int | None = None) -> Security:
    """The held payment, and for how many blocks it is secured: counted from `height`, or as high as the node is now.

    Raises: NodeUnavailable.
    """
    if order.invoice is None:
        return Security(secured=False, lost=True, reason="there is no invoice")
    if order.invoice.is_passed_on:
        return passing.look(order, node)
    return _look(order.invoice.payment_hash, order.order_total_sat, node, height)


def _look(payment_hash: str, total_sat: int, node: LndNode, height: int | None) -> Security:
    try:
        invoice = node.invoice(payment_hash)
    except NotFound:
        return Security(secured=False, lost=True, reason="the node does not know the invoice")
    if invoice.state is types.NodeInvoiceState.SETTLED:
        return SETTLED
    if invoice.state is not types.NodeInvoiceState.ACCEPTED:
        return Security(secured=False, lost=True, reason=f"the node says the invoice is {invoice.state}")
    if invoice.held_msat < total_sat * 1000 or invoice.nearest_expiry_height is None:
        return Security(secured=False, lost=True, reason="less is held than is owed")
    height = node.info().block_height if height is None else height
    spare = invoice.nearest_expiry_height - height - settings.PUBLISH_MARGIN_BLOCKS
    if spare < 0:
        return Security(secured=False, lost=True, reason="the hold runs out too soon", spare_blocks=spare)
    return Security(secured=True, lost=False, reason="held", spare_blocks=spare)


def insecurity(order: ChannelOrder) -> str:
    """Why the payment is not secured by our own records; "" when it is."""
    stands = order.invoice is not None and order.invoice.state in _STANDS
    return "" if stands else "The Lightning payment is not held any more."


def obstacle(order: ChannelOrder) -> str:
    """Why the held payment could not be settled; "" when it can."""
    invoice = order.invoice
    if invoice is None or invoice.state != InvoiceState.HELD or _is_settled_by_us_or_its_buyer(invoice):
        return ""
    return "PREIMAGE_KEY is not the one this order was sold with: its payment could not be settled."


def _is_settled_by_us_or_its_buyer(invoice: HoldInvoice) -> bool:
    return invoice.is_passed_on or invoice.payment_hash == keys.payment_hash(invoice.order_id)


def is_held(order: ChannelOrder) -> bool:
    """The node holds it, and nobody has asked for its return."""
    return order.invoice is not None and order.invoice.state == InvoiceState.HELD


def is_ours(order: ChannelOrder) -> bool:
    """It is settled."""
    return order.invoice is not None and order.invoice.state == InvoiceState.SETTLED


def is_going_back(order: ChannelOrder) -> bool:
    """Its return was recorded, and the node has not confirmed it yet."""
    return order.invoice is not None and order.invoice.state == InvoiceState.RETURNING


def is_returned_unasked(order: ChannelOrder) -> bool:
    """Staff have cancelled the order; whoever else records a return has looked for a trace at the node just before."""
    return is_going_back(order) and order.hold_invoice.return_cause == Cause.CANCELLED


def differing(node: LndNode, seen: NodeSnapshot) -> set[UUID]:
    """Invoices that stand elsewhere at the node, and held payments that run out.

    Raises: NodeUnavailable.
    """
    return _invoices_that_differ(node) | _holds_running_out(seen)


def _invoices_that_differ(node: LndNode) -> set[UUID]:
    rows = (
        HoldInvoice.objects.filter(state__in=_AT_THE_NODE)
        .exclude(payment_request="")
        .values_list("order_id", "payment_hash", "state", "add_index")
    )
    if not rows:
        return set()
    states = _states_at(node, {payment_hash: add_index for _, payment_hash, _, add_index in rows})
    return {
        order_id
        for order_id, payment_hash, state, _ in rows
        if states.get(payment_hash) is not _AT_THE_NODE[InvoiceState(state)]
    }


def _states_at(node: LndNode, add_indices: Mapping[str, int]) -> dict[str, types.NodeInvoiceState]:
    """Where these invoices stand at the node; nothing of one that it has not, nor of a listed one that is over.

    To list them LND reads every invoice that anybody has added since the first, one by one. So they are asked for by
    hash as far as that is cheaper: an order that stays for months makes nobody read all of those months.
    """
    oldest, listed_after = split(add_indices, newest=0 if len(add_indices) <= _FEW else node.newest_add_index())
    found = {payment_hash: state for payment_hash in oldest if (state := _state_at(node, payment_hash)) is not None}
    if len(oldest) < len(add_indices):
        found |= {each.payment_hash: each.state for each in node.pending_invoices(after_add_index=listed_after)}
    return found


def split(add_indices: Mapping[str, int], *, newest: int) -> tuple[list[str], int]:
    """Which invoices to ask for one by one, and after which index to list the others, at the least cost.

    `newest`: the index of the last invoice of all; 0: few are asked for, and all of them one by one.
    """
    by_age = sorted(add_indices, key=lambda payment_hash: add_indices[payment_hash])
    starts = [add_indices[payment_hash] - 1 for payment_hash in by_age]
    costs = [_READS_OF_ONE_LOOK * before + newest - start for before, start in enumerate(starts)]
    cheapest = costs.index(min(costs)) if newest else len(by_age)
    if newest and _READS_OF_ONE_LOOK * len(by_age) > costs[cheapest]:
        return by_age[:cheapest], max(0, starts[cheapest])
    return by_age, 0


def _state_at(node: LndNode, payment_hash: str) -> types.NodeInvoiceState | None:
    try:
        return node.invoice(payment_hash).state
    except NotFound:
        return None


def _holds_running_out(seen: NodeSnapshot) -> set[UUID]:
    """Held payments whose margin is gone while nothing is being opened for them."""
    last = seen.block_height + settings.PUBLISH_MARGIN_BLOCKS + settings.SPARE_BLOCKS
    rows = HoldInvoice.objects.filter(state=InvoiceState.HELD, hold_expires_height__lt=last)
    return set(rows.values_list("order_id", flat=True))
