"""The peer's signature, and the point of no return."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.conf import settings

from lightning import transactions
from lightning.node import LndNode, Negotiation
from lightning.types import Outpoint
from orders import marks, queries, serving
from orders.causes import NOT_SERVED, Cause
from orders.models import ChannelOpening, WalletTransaction
from orders.openings import tracing
from orders.openings.reasons import PAYMENT_NOT_SECURED, Broken
from orders.payments import security
from orders.states import OpeningState, OrderState
from orders.transitions import locked, move, move_opening, note
from orders.wallet import transaction as machine

PENDING_SECONDS: Final = 60


def verify(opening: ChannelOpening, negotiation: Negotiation, node: LndNode) -> None:
    """The peer has signed the commitment: the channel is pending at the node."""
    transaction = _transaction(opening)
    node.verify_psbt(pending_chan_id=bytes(opening.pending_chan_id), psbt=bytes(transaction.psbt))
    outpoint = negotiation.pending_outpoint(timeout_seconds=PENDING_SECONDS)
    if str(outpoint) != opening.funding_outpoint:
        raise Broken("FAILED_OPENING", f"The node opened {outpoint} instead of {opening.funding_outpoint}.")


def commit(order_id: UUID, node: LndNode) -> None:
    """The point of no return: the signed funding is recorded, the order is OPENING.

    Only if in this same pass the channel was seen at the node, every coin was leased again under our id, and the
    payment is secured with blocks to spare, and can be taken. A lease that ran out shows nowhere else: the coin may
    be in another order's funding. A funding published without its channel is money burnt.
    """
    order = queries.order_or_raise(order_id)
    opening = order.live_opening
    if opening is None or opening.state != OpeningState.FUNDED:
        return
    why_not_taken = security.obstacle(order)
    if why_not_taken:
        raise Broken(PAYMENT_NOT_SECURED, why_not_taken)
    if serving.bars_node(order) or serving.bars_payment(order):
        raise Broken(NOT_SERVED, "Whom it is for, or who has paid, is not served any more.")
    transaction = _transaction(opening)
    signed = node.finalize_psbt(bytes(transaction.psbt))
    final = transactions.read_transaction(signed.raw)
    if final.txid != transaction.txid or not final.every_input_has_witness:
        raise Broken("FAILED_OPENING", "The node signed another transaction, or not all of it.")
    if tracing.open_or_opening(node, Outpoint.parse(opening.funding_outpoint)) is None:
        raise Broken("FAILED_OPENING", "The node does not know the channel.")
    for outpoint in final.inputs:
        node.lease(outpoint, lock_id=marks.lock_id(order_id), seconds=settings.FUNDING_LEASE_SECONDS)
    payment = security.look(order, node)
    if not payment.secured or not security.has_spare(payment):
        raise Broken(PAYMENT_NOT_SECURED, payment.reason)
    _record_committed(order_id, opening.pk, signed.raw, signed.psbt)


def _record_committed(order_id: UUID, opening_id: int, raw: bytes, psbt: bytes) -> None:
    with locked(order_id) as order:
        opening = order.openings.select_related("transaction").get(pk=opening_id)
        if opening.state != OpeningState.FUNDED or order.state != OrderState.URI_SET:
            raise Broken("FAILED_OPENING", "Another process has taken the attempt over.")
        machine.signed(_transaction(opening), raw)
        move_opening(order, opening, OpeningState.PUBLISHING, failure_reason="", failure_detail="")
        if opening.surplus_sat:
            note(order, Cause.SURPLUS_ADDED, attempt=opening.attempt, amount_sat=opening.surplus_sat)
        move(
            order,
            OrderState.OPENING,
            cause=Cause.FUNDING_SIGNED,
            attempt=opening.attempt,
            outpoint=opening.funding_outpoint,
        )


def _transaction(opening: ChannelOpening) -> WalletTransaction:
    if opening.transaction is None:
        raise Broken("FAILED_OPENING", "The attempt has no transaction.")
    return opening.transaction
