"""The peer's signature, and the point of no return."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final
from uuid import UUID

from django.conf import settings

from lightning import transactions
from lightning.errors import NotFound, Rejected
from lightning.node import LndNode, Negotiation
from lightning.types import Outpoint
from orders import marks, queries, serving
from orders.causes import NOT_SERVED, Cause, FlagKind
from orders.flags import flag
from orders.models import ChannelOpening, ChannelOrder, WalletTransaction
from orders.openings import tracing
from orders.openings.apart import connection
from orders.openings.reasons import PAYMENT_NOT_SECURED, Broken
from orders.payments import security
from orders.payments.lightning import passing
from orders.states import OpeningState, OrderState
from orders.transitions import locked, move, move_opening, note
from orders.wallet import transaction as machine

PENDING_SECONDS: Final = 60
#: Where a zero-conf attempt may be whose channel is found: FUNDED and CANCELLING only against what we know.
_BEFORE_KEPT: Final = frozenset(
    {OpeningState.FUNDED, OpeningState.COMMITTED, OpeningState.CARRYING, OpeningState.CANCELLING}
)
_TAKEN_OVER: Final = "Another process has taken the attempt over."


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
    raw = _sign(order, opening, node)
    if tracing.open_or_opening(node, opening) is None:
        raise Broken("FAILED_OPENING", "The node does not know the channel.")
    _secure(order, raw, node)
    if not _record_committed(order_id, opening.pk, raw):
        raise Broken("FAILED_OPENING", _TAKEN_OVER)


def promise(order_id: UUID, opening_id: int, node: LndNode) -> None:
    """The signed funding of a zero-conf channel is recorded before there is a channel: COMMITTED, or CARRYING where
    its buyer trusts us to publish once he has taken his payment over it.

    It is usable as soon as the peer has signed, so whoever lets the node do that has promised to publish. All is tested
    that `commit` tests, but that the channel is there.
    Money: a held payment stays held. If the channel comes to be its funding is published, whatever becomes of the
    payment: its buyer may have received money over it.
    """
    order = queries.order_or_raise(order_id)
    opening = order.live_opening
    if opening is None or opening.pk != opening_id or opening.state != OpeningState.FUNDED:
        raise Broken("FAILED_OPENING", _TAKEN_OVER)
    raw = _sign(order, opening, node)
    _secure(order, raw, node)
    _record_promised(order_id, opening_id, raw, _connection(order, opening, node))


def keep(order_id: UUID, opening_id: int, node: LndNode) -> bool:
    """The zero-conf channel of the attempt was seen at the node, and what was promised for it holds: PUBLISHING, and
    the order is OPENING. False: it is not there.

    Its coins are leased again. Who had given them back already (CANCELLING) goes on only where all are to be had; who
    has promised goes on all the same, as it may yet be the first in the chain, and a person is told.
    Money: nothing is asked of the payment any more.
    Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown; Rejected, NotFound where another has a coin.
    """
    opening = ChannelOpening.objects.select_related("transaction").get(pk=opening_id)
    if opening.state not in _BEFORE_KEPT or not tracing.is_anywhere(node, opening):
        return False
    transaction = _transaction(opening)
    # Unsigned: our records are older than the truth, and the same coins sign the same transaction.
    raw = bytes(transaction.raw) if transaction.raw is not None else _final(transaction, node)
    if opening.state == OpeningState.CANCELLING:
        _lease(order_id, transaction.spends, node)
    else:
        lease_again(opening, node)
    _record_committed(order_id, opening_id, raw, of=_BEFORE_KEPT)
    return True


def lease_again(opening: ChannelOpening, node: LndNode) -> bool:
    """The coins of the attempt, whose funding is promised, are ours for another day; False: another has one of them,
    and a person is told. Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown.
    """
    try:
        _lease(opening.order_id, _transaction(opening).spends, node)
    except (Rejected, NotFound) as error:
        words = f"A channel may be in use whose funding is not published, and another has a coin of it: {error}"
        flag(opening.order_id, FlagKind.ZERO_CONF_UNFUNDED, words)
        return False
    return True


def _connection(order: ChannelOrder, opening: ChannelOpening, node: LndNode) -> str:
    """That by which the node has to stay until its payment has gone on; "": where it need not.

    One that is away now has dropped the channel, so nothing was refused: it is tried again while its payer waits.
    """
    if not passing.trusts_us(order):
        return ""
    by_connection = connection(opening.node_pubkey, node)
    if not by_connection:
        raise Broken("PEER_NOT_REACHABLE", "Its node went away before the channel was promised.")
    return by_connection


def _sign(order: ChannelOrder, opening: ChannelOpening, node: LndNode) -> bytes:
    """The whole funding, which is the one that was drafted; of a payment that can be taken, for whom we serve."""
    why_not_taken = security.obstacle(order)
    if why_not_taken:
        raise Broken(PAYMENT_NOT_SECURED, why_not_taken)
    if serving.bars_node(order) or serving.bars_payment(order):
        raise Broken(NOT_SERVED, "Whom it is for, or who has paid, is not served any more.")
    return _final(_transaction(opening), node)


def _final(transaction: WalletTransaction, node: LndNode) -> bytes:
    signed = node.finalize_psbt(bytes(transaction.psbt))
    final = transactions.read_transaction(signed.raw)
    if final.txid != transaction.txid or not final.every_input_has_witness:
        raise Broken("FAILED_OPENING", "The node signed another transaction, or not all of it.")
    return signed.raw


def _secure(order: ChannelOrder, raw: bytes, node: LndNode) -> None:
    """Its coins are ours for another day, and the payment will be there."""
    _lease(order.pk, transactions.read_transaction(raw).inputs, node)
    payment = security.look(order, node)
    if not payment.secured or not security.has_spare(payment):
        raise Broken(PAYMENT_NOT_SECURED, payment.reason)


def _lease(order_id: UUID, coins: Iterable[Outpoint], node: LndNode) -> None:
    for outpoint in coins:
        node.lease(outpoint, lock_id=marks.lock_id(order_id), seconds=settings.FUNDING_LEASE_SECONDS)


def _record_committed(
    order_id: UUID, opening_id: int, raw: bytes, *, of: Collection[str] = (OpeningState.FUNDED,)
) -> bool:
    """False: another process has moved the attempt since."""
    with locked(order_id) as order:
        opening = order.openings.select_related("transaction").get(pk=opening_id)
        if opening.state not in of or order.state != OrderState.URI_SET:
            return False
        machine.signed(_transaction(opening), raw)
        move_opening(order, opening, OpeningState.PUBLISHING, failure_reason="", failure_detail="")
        passing.number_is_used(order)
        if opening.surplus_sat:
            note(order, Cause.SURPLUS_ADDED, attempt=opening.attempt, amount_sat=opening.surplus_sat)
        move(
            order,
            OrderState.OPENING,
            cause=Cause.FUNDING_SIGNED,
            attempt=opening.attempt,
            outpoint=opening.funding_outpoint,
        )
    return True


def _record_promised(order_id: UUID, opening_id: int, raw: bytes, by_connection: str) -> None:
    with locked(order_id) as order:
        opening = order.openings.select_related("transaction").get(pk=opening_id)
        if opening.state != OpeningState.FUNDED or order.state != OrderState.URI_SET:
            raise Broken("FAILED_OPENING", _TAKEN_OVER)
        machine.signed(_transaction(opening), raw)
        is_carried = passing.trusts_us(order)
        state = OpeningState.CARRYING if is_carried else OpeningState.COMMITTED
        move_opening(order, opening, state, connection=by_connection)
        cause = Cause.OPENING_CARRYING if is_carried else Cause.OPENING_COMMITTED
        note(order, cause, attempt=opening.attempt, outpoint=opening.funding_outpoint)


def _transaction(opening: ChannelOpening) -> WalletTransaction:
    if opening.transaction is None:
        raise Broken("FAILED_OPENING", "The attempt has no transaction.")
    return opening.transaction
