"""One attempt to open an order's channel, up to the point of no return.

Each rule here stands for a loss that was seen on a real node: see docs/design/opening.md.
"""

from __future__ import annotations

import logging
import secrets
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection
from django.utils import timezone

from lightning import transactions
from lightning.errors import (
    InsufficientFunds,
    LightningError,
    NotFound,
    OutcomeUnknown,
    PeerOffline,
    Rejected,
)
from lightning.node import LndNode, Negotiation
from lightning.types import FundedPsbt, FundingRequest, NodeAddress, Outpoint
from orders import keys, options, queries
from orders.models import ChannelOpening, ChannelOrder, SwitchName, TransactionKind, WalletTransaction
from orders.models.order import Rail
from orders.operations import adopting, cancelling, paying, security, tracing
from orders.operations.failing import OPENINGS_PAUSED, postpone
from orders.states import InvoiceState, OpeningState, OrderState
from orders.transitions import locked, move, move_opening, note

log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 15
_BEGINNING_LOCK: Final = 0x6C73700002
NEGOTIATE_SECONDS: Final = 30
PENDING_SECONDS: Final = 60


class _Broken(Exception):
    """The attempt cannot go on; it is cancelled with this reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def attempt(order_id: UUID, node: LndNode) -> None:
    """One attempt was made: the order is OPENING, or the attempt is cancelled, or it waits for a later look.

    Money: a held payment stays held whatever happens here; nothing is signed that could be published before
    the channel is known to the node.
    Repeat: safe; a trace of an earlier attempt is adopted, never opened beside.
    Raises: NodeUnavailable, OutcomeUnknown (the next look recovers).
    """
    order = queries.order_or_raise(order_id)
    trace = tracing.find_trace(order, node)
    if trace is not None:
        adopting.adopt(order_id, trace, node)
        return
    held = order.invoice if order.counted_payment == Rail.LIGHTNING else None
    if held is not None and held.state == InvoiceState.HELD and held.payment_hash != keys.payment_hash(order_id):
        paying.flag(order_id, "PREIMAGE_KEY is not the one this order was sold with: its payment could not be settled.")
        return
    payment = security.look(order, node)
    if payment.spare_blocks is None and tracing.sent_back(order, node):
        paying.flag(order_id, "The wallet has sent this order's money back: it is not opened.")
        return
    if not payment.secured or not _has_spare(payment):
        return  # `advance` returns what is lost and waits for what may come back
    if not _ready(order, node):
        return
    opening = _intend(order)
    if opening is None:
        return
    _run(order, opening, node)


def _has_spare(payment: security.Security) -> bool:
    return payment.spare_blocks is None or payment.spare_blocks >= settings.SPARE_BLOCKS


def _ready(order: ChannelOrder, node: LndNode) -> bool:
    paused = queries.paused(SwitchName.OPENINGS)
    if paused is not None:
        postpone(order.pk, OPENINGS_PAUSED, paused.reason)
        return False
    # Peers that stall must not hold every thread.
    if queries.openings_under_way(timezone.now()) >= settings.PARALLEL_OPENINGS:
        postpone(order.pk, "LSP_BUSY", "Other channels are being opened.")
        return False
    coins = node.coins(min_confirmations=settings.FUNDING_MIN_CONFS)
    if sum(coin.amount_sat for coin in coins) <= order.capacity_sat:  # don't trouble the peer for nothing
        postpone(order.pk, "INSUFFICIENT_FUNDS", "The node has not enough deep coins.")
        return False
    if queries.peer_is_taken(order.node_pubkey):
        postpone(order.pk, "PEER_BUSY", "Another order of this node is being opened.")
        return False
    try:
        node.connect(NodeAddress(order.node_pubkey, order.node_host), timeout_seconds=CONNECT_SECONDS)
    except PeerOffline as error:
        postpone(order.pk, error.reason or "PEER_NOT_REACHABLE", str(error))
        return False
    return True


def _intend(seen: ChannelOrder) -> ChannelOpening | None:
    """The attempt is recorded before the node hears of it; None where that may not be (any more)."""
    try:
        with locked(seen.pk) as order:
            if not _may_begin(order, seen):
                return None
            _one_beginning_at_a_time()
            if queries.openings_under_way(timezone.now()) >= settings.PARALLEL_OPENINGS:
                order.last_failure_reason = "LSP_BUSY"
                order.due_at = timezone.now() + timedelta(seconds=settings.RETRY_FIRST_SECONDS)
                return None
            now = timezone.now()
            opening = ChannelOpening.objects.create(
                order=order,
                attempt=order.openings.count() + 1,
                created_at=now,
                changed_at=now,
                pending_chan_id=secrets.token_bytes(32),
                node_pubkey=order.node_pubkey,
                node_host=order.node_host,
                announced=options.announced(
                    by_claim=order.announced_by_claim,
                    by_purchase=order.announced_by_purchase,
                    by_service=order.service.announced_by_default,
                ),
                capacity_sat=order.capacity_sat,
                push_sat=order.client_balance_sat,
            )
            note(order, "opening_begun", attempt=opening.attempt, node=order.node_pubkey)
            return opening
    except IntegrityError:  # another order of this peer was quicker
        postpone(seen.pk, "PEER_BUSY", "Another order of this node is being opened.")
        return None


def _one_beginning_at_a_time() -> None:
    """Nobody else counts what is under way until this transaction has added to it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_BEGINNING_LOCK])


def _may_begin(order: ChannelOrder, seen: ChannelOrder) -> bool:
    """Order, attempt and payment together, tested under the lock."""
    if order.state != OrderState.URI_SET or order.node_pubkey != seen.node_pubkey or order.live_opening is not None:
        return False
    if queries.paused(SwitchName.OPENINGS) is not None:  # since we were ready: reaching a peer takes a while
        return False
    if order.counted_payment == Rail.LIGHTNING:
        invoice = order.invoice
        return invoice is not None and invoice.state in {InvoiceState.HELD, InvoiceState.SETTLED}
    return order.counted_payment == Rail.ONCHAIN


def _run(order: ChannelOrder, opening: ChannelOpening, node: LndNode) -> None:
    negotiation: Negotiation | None = None
    try:
        negotiation = node.open_channel(
            pubkey=opening.node_pubkey,
            pending_chan_id=bytes(opening.pending_chan_id),
            capacity_sat=opening.capacity_sat,
            push_sat=opening.push_sat,
            private=not opening.announced,
            memo=str(order.pk),
        )
        _fund(order, opening, negotiation.funding_request(timeout_seconds=NEGOTIATE_SECONDS), node)
        opening.refresh_from_db()
        _verify(opening, negotiation, node)
        commit(order.pk, node)
    except (Rejected, PeerOffline, InsufficientFunds, NotFound, _Broken) as error:
        cancelling.cancel(order.pk, node, reason=_reason(error), detail=str(error), only=opening.pk)
    except OutcomeUnknown as error:
        _remember(order.pk, opening.pk, _reason(error), str(error))
        raise
    finally:
        if negotiation is not None:
            negotiation.close()


def _reason(error: Exception) -> str:
    if isinstance(error, _Broken):
        return error.reason
    if isinstance(error, PeerOffline):
        return error.reason or "PEER_NOT_REACHABLE"
    if isinstance(error, InsufficientFunds):
        return "INSUFFICIENT_FUNDS"
    return (error.reason if isinstance(error, LightningError) else "") or "FAILED_OPENING"


def _fund(order: ChannelOrder, opening: ChannelOpening, request: FundingRequest, node: LndNode) -> None:
    """Our coins are leased and the unsigned funding transaction is recorded: the attempt is FUNDED.

    Checked before the peer hears of it: later a refusal would strand a half-made channel at the peer.
    """
    if request.amount_sat != opening.capacity_sat:
        raise _Broken("FAILED_OPENING", f"The node asks for {request.amount_sat} sat.")
    fees = node.fee_rates(conf_target=settings.FUNDING_CONF_TARGET)
    funded = node.fund_psbt(
        address=request.address,
        amount_sat=request.amount_sat,
        sat_per_kw=max(fees.estimate_sat_per_kw, fees.minimum_sat_per_kw),
        min_confirmations=settings.FUNDING_MIN_CONFS,
        lock_id=keys.lock_id(order.pk),
        lease_seconds=settings.FUNDING_LEASE_SECONDS,
    )
    index, fee_sat = _check_funding(opening, request, funded, fees.minimum_sat_per_kw, node)
    _record_funded(order, opening, funded, index, fee_sat)


def _check_funding(
    opening: ChannelOpening, request: FundingRequest, funded: FundedPsbt, minimum_sat_per_kw: int, node: LndNode
) -> tuple[int, int]:
    """(index of the funding output, fee in satoshis) of a transaction that is as it must be."""
    try:
        unsigned = transactions.read_psbt(funded.psbt)
    except ValueError as error:  # a nested input: its txid is not final before it is signed
        raise _Broken("FAILED_OPENING", str(error)) from error
    script = transactions.address_script(request.address)
    paying = [i for i, output in enumerate(unsigned.outputs) if output == (script, request.amount_sat)]
    others = {i for i in range(len(unsigned.outputs)) if i not in paying}
    if len(paying) != 1 or others - {funded.change_index}:
        raise _Broken("FAILED_OPENING", "The funding transaction pays something else.")
    for coin in unsigned.inputs:
        parent = tracing.wallet_transaction(node, coin.txid)
        if parent is None or not parent.confirmations:
            raise _Broken("FAILED_OPENING", f"The coin {coin} was taken back by a reorganisation.")
    leased = {lease.outpoint: lease.amount_sat for lease in funded.leases}
    if set(unsigned.inputs) != set(leased):
        raise _Broken("FAILED_OPENING", "The funding transaction spends coins that are not leased.")
    fee_sat = sum(leased.values()) - sum(amount for _, amount in unsigned.outputs)
    lowest = unsigned.vbytes * 4 * minimum_sat_per_kw // 1000
    if fee_sat > settings.MAX_FUNDING_FEE_SAT:
        raise _Broken("FEE_TOO_HIGH", f"The funding transaction would cost {fee_sat} sat.")
    if fee_sat < lowest:
        raise _Broken("FAILED_OPENING", f"The funding transaction pays {fee_sat} sat; {lowest} are asked to relay.")
    change = unsigned.outputs[funded.change_index][1] if funded.change_index >= 0 else 0
    _check_reserve(opening, change, node)
    return paying[0], fee_sat


def _check_reserve(opening: ChannelOpening, change_sat: int, node: LndNode) -> None:
    """LND keeps coins to bump closes of announced channels, and refuses late when they would be spent."""
    required = node.required_reserve_sat(additional_public_channels=1 if opening.announced else 0)
    left = sum(coin.amount_sat for coin in node.coins(min_confirmations=0)) + change_sat
    if left < required:
        raise _Broken("INSUFFICIENT_FUNDS", f"{left} sat would be left of the {required} sat kept for closes.")


def _record_funded(order: ChannelOrder, opening: ChannelOpening, funded: FundedPsbt, index: int, fee_sat: int) -> None:
    unsigned = transactions.read_psbt(funded.psbt)
    with locked(order.pk) as held:
        current = held.openings.get(pk=opening.pk)
        if current.state != OpeningState.NEGOTIATING:
            raise _Broken("FAILED_OPENING", "Another process has taken the attempt over.")
        transaction = WalletTransaction.objects.create(
            kind=TransactionKind.FUNDING,
            label=tracing.funding_label(held),
            txid=unsigned.txid,
            psbt=funded.psbt,
            inputs=[[str(lease.outpoint), lease.amount_sat, lease.pk_script.hex()] for lease in funded.leases],
            change_index=funded.change_index,
            fee_sat=fee_sat,
            created_at=timezone.now(),
        )
        move_opening(current, OpeningState.FUNDED, transaction=transaction, output_index=index)
        note(held, "opening_funded", attempt=current.attempt, outpoint=current.funding_outpoint, fee_sat=fee_sat)


def _verify(opening: ChannelOpening, negotiation: Negotiation, node: LndNode) -> None:
    """The peer has signed the commitment: the channel is pending at the node."""
    transaction = _transaction(opening)
    node.verify_psbt(pending_chan_id=bytes(opening.pending_chan_id), psbt=bytes(transaction.psbt))
    outpoint = negotiation.pending_outpoint(timeout_seconds=PENDING_SECONDS)
    if str(outpoint) != opening.funding_outpoint:
        raise _Broken("FAILED_OPENING", f"The node opened {outpoint} instead of {opening.funding_outpoint}.")


def resume(order_id: UUID, opening_id: int, node: LndNode) -> None:
    """A FUNDED attempt whose channel is pending goes on where it was left.

    Raises: NodeUnavailable, OutcomeUnknown.
    """
    try:
        commit(order_id, node)
    except (Rejected, PeerOffline, InsufficientFunds, NotFound, _Broken) as error:
        cancelling.cancel(order_id, node, reason=_reason(error), detail=str(error), only=opening_id)


def commit(order_id: UUID, node: LndNode) -> None:
    """The point of no return: the signed funding is recorded, the order is OPENING.

    Only if in this same pass the channel was seen at the node, every coin was leased again under our id, and the
    payment is secured with blocks to spare. A lease that ran out shows nowhere else: the coin may be in another
    order's funding. A funding published without its channel is money burnt.
    """
    order = queries.order_or_raise(order_id)
    opening = order.live_opening
    if opening is None or opening.state != OpeningState.FUNDED:
        return
    transaction = _transaction(opening)
    signed = node.finalize_psbt(bytes(transaction.psbt))
    final = transactions.read_transaction(signed.raw)
    if final.txid != transaction.txid or not final.every_input_has_witness:
        raise _Broken("FAILED_OPENING", "The node signed another transaction, or not all of it.")
    if tracing.open_or_opening(node, Outpoint.parse(opening.funding_outpoint)) is None:
        raise _Broken("FAILED_OPENING", "The node does not know the channel.")
    for outpoint in final.inputs:
        node.lease(outpoint, lock_id=keys.lock_id(order_id), seconds=settings.FUNDING_LEASE_SECONDS)
    payment = security.look(order, node)
    if not payment.secured or not _has_spare(payment):
        raise _Broken("PAYMENT_NOT_SECURED", payment.reason)
    _record_committed(order_id, opening.pk, signed.raw, signed.psbt)


def _record_committed(order_id: UUID, opening_id: int, raw: bytes, psbt: bytes) -> None:
    with locked(order_id) as order:
        opening = order.openings.select_related("transaction").get(pk=opening_id)
        if opening.state != OpeningState.FUNDED or order.state != OrderState.URI_SET:
            raise _Broken("FAILED_OPENING", "Another process has taken the attempt over.")
        transaction = _transaction(opening)
        transaction.raw = raw
        transaction.save()
        move_opening(opening, OpeningState.PUBLISHING, failure_reason="", failure_detail="")
        move(
            order,
            OrderState.OPENING,
            cause="funding_signed",
            attempt=opening.attempt,
            outpoint=opening.funding_outpoint,
        )


def _remember(order_id: UUID, opening_id: int, reason: str, detail: str) -> None:
    """Why the attempt fell silent, for whoever finds it."""
    log.warning("order=%s an attempt ended with an unknown outcome: %s", order_id, detail)
    with locked(order_id) as order:
        opening = order.live_opening
        if opening is not None and opening.pk == opening_id:
            opening.failure_reason, opening.failure_detail = reason, detail[:300]
            opening.save()
            note(order, "opening_silent", attempt=opening.attempt, reason=reason)


def _transaction(opening: ChannelOpening) -> WalletTransaction:
    if opening.transaction is None:
        raise _Broken("FAILED_OPENING", "The attempt has no transaction.")
    return opening.transaction
