"""Whether a payment is secured: ours to keep if we deliver."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from lightning import types
from lightning.errors import NotFound
from lightning.node import LndNode
from orders import queries
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.operations.tracing import wallet_transaction
from orders.states import DepositState, InvoiceState


@dataclass(frozen=True, slots=True)
class Security:
    """What the node says of the payment that counts, now.

    `secured`: an attempt may begin or go on. `lost`: it can never be secured again as it stands (the margin is
    gone, or the node cancelled): what is held goes back at once. Neither: wait (a deposit was taken back by a
    reorganisation and may return).
    """

    secured: bool
    lost: bool
    reason: str
    #: Blocks beyond the margin until the held payment is no longer secured; None: it does not run out.
    spare_blocks: int | None = None


SETTLED = Security(secured=True, lost=False, reason="settled")


def look(order: ChannelOrder, node: LndNode) -> Security:
    """The payment that counts, as the node sees it now.

    Raises: NodeUnavailable.
    """
    if order.counted_payment == Rail.ONCHAIN:
        return _onchain(order, node)
    if order.counted_payment == Rail.LIGHTNING and order.invoice is not None:
        return _lightning(order.invoice.payment_hash, order.order_total_sat, node)
    return Security(secured=False, lost=True, reason="no payment counts")


def _lightning(payment_hash: str, total_sat: int, node: LndNode) -> Security:
    try:
        invoice = node.invoice(payment_hash)
    except NotFound:
        return Security(secured=False, lost=True, reason="the node does not know the invoice")
    if invoice.state is types.InvoiceState.SETTLED:
        return SETTLED
    if invoice.state is not types.InvoiceState.ACCEPTED:
        return Security(secured=False, lost=True, reason=f"the node says the invoice is {invoice.state}")
    if invoice.held_msat < total_sat * 1000 or invoice.nearest_expiry_height is None:
        return Security(secured=False, lost=True, reason="less is held than is owed")
    spare = invoice.nearest_expiry_height - node.info().block_height - settings.PUBLISH_MARGIN_BLOCKS
    if spare < 0:
        return Security(secured=False, lost=True, reason="the hold runs out too soon", spare_blocks=spare)
    return Security(secured=True, lost=False, reason="held", spare_blocks=spare)


def _onchain(order: ChannelOrder, node: LndNode) -> Security:
    depth = required_confirmations(order)
    total = 0
    for deposit in queries.deposits_of(order):
        transaction = wallet_transaction(node, deposit.txid)
        if transaction is not None and transaction.confirmations >= depth:
            total += deposit.amount_sat
    if total >= order.order_total_sat:
        return Security(secured=True, lost=False, reason="confirmed on chain")
    return Security(secured=False, lost=False, reason="the deposit is not deep enough now")


def required_confirmations(order: ChannelOrder) -> int:
    """How deep a deposit must be to count: deeper where much of it is pushed straight to the buyer.

    What we push can be spent by the buyer at once, so a taken-back deposit would cost that much more.
    """
    base: int = settings.ONCHAIN_CONFIRMATIONS
    return max(base, min(6, base + order.client_balance_sat // 5_000_000))


def insecurity(order: ChannelOrder) -> str:
    """Why the payment is not secured according to our own records; "" when it is."""
    if order.counted_payment == Rail.LIGHTNING:
        invoice = order.invoice
        if invoice is None or invoice.state not in {InvoiceState.HELD, InvoiceState.SETTLED}:
            return "The Lightning payment is not held any more."
        return ""
    if order.counted_payment == Rail.ONCHAIN:
        confirmed = [d.amount_sat for d in queries.deposits_of(order) if d.state == DepositState.CONFIRMED]
        if sum(confirmed) < order.order_total_sat:
            return "The on-chain payment is not confirmed."
        return ""
    return "The order was never paid."
