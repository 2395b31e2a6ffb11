"""A signed funding that may not be published any more is put out: one of its coins is spent by ourselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from lightning import transactions
from lightning.errors import Rejected
from lightning.node import LndNode
from lightning.types import Outpoint
from orders import marks, pricing, queries
from orders.causes import Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelOpening, ChannelOrder, TransactionKind, WalletTransaction
from orders.openings import cancelling
from orders.states import OpeningState, TransactionState
from orders.transitions import locked, move_opening, note
from orders.wallet import broadcasting, budget, coins
from orders.wallet import transaction as machine
from orders.wallet.looking import wallet_transaction

#: In how many blocks it is to be mined.
_CONF_TARGET: Final = 2


def begin(order_id: UUID, node: LndNode, *, reason: str) -> None:
    """A conflicting spend is signed and stored: CONFLICTING, and ours is never published again.

    Money: a held payment stays held until the conflict is 6 deep. Repeat: safe.
    Raises: NodeUnavailable, OutcomeUnknown.
    """
    order = queries.order_or_raise(order_id)
    opening = order.openings.filter(state=OpeningState.PUBLISHING).select_related("transaction").first()
    if opening is None or opening.transaction is None:
        return
    left_sat = budget.left_sat(order)
    raw, psbt, txid, fee_sat = _sign(opening.transaction, node, at_least_sat=0, if_enough_sat=left_sat)
    with locked(order_id) as held:
        current = held.openings.select_related("transaction").get(pk=opening.pk)
        if current.state != OpeningState.PUBLISHING:
            return
        conflict = _store(held, current, raw, psbt, txid, fee_sat)
        move_opening(held, current, OpeningState.CONFLICTING, conflict=conflict, failure_reason=reason)
        note(held, Cause.FUNDING_PUT_OUT, attempt=current.attempt, reason=reason, conflict=txid)
        _tell_if_dear(held, current, txid, fee_sat, left_sat)


def is_affordable(order: ChannelOrder, node: LndNode) -> bool:
    """Putting the funding out costs no more than the order has left for it. Raises: NodeUnavailable."""
    return budget.put_out_sat(node.fee_rates(conf_target=_CONF_TARGET)) <= budget.left_sat(order)


def _tell_if_dear(order: ChannelOrder, opening: ChannelOpening, txid: str, fee_sat: int, left_sat: int) -> None:
    """What safety asks for is done whatever it costs; beyond the order's budget it is a loss, with a name."""
    beyond_sat = fee_sat - max(0, left_sat)
    if beyond_sat <= 0:
        return
    note(order, Cause.CONFLICT_OVER_BUDGET, attempt=opening.attempt, txid=txid, fee_sat=fee_sat, beyond_sat=beyond_sat)
    words = f"Putting a funding out costs {fee_sat} sat, {beyond_sat} sat more than the order's fee budget has left."
    raise_flag(order, FlagKind.CONFLICT_OVER_BUDGET, words)


def _sign(
    funding: WalletTransaction, node: LndNode, *, at_least_sat: int, if_enough_sat: int
) -> tuple[bytes, bytes, str, int]:
    """(raw, psbt, txid, fee) of a spend of the funding's first coin to ourselves, for `if_enough_sat` where that is one
    that will be mined.

    Always the same coin, the largest: so every version excludes the funding, and every other version.
    """
    outpoint, amount_sat, script_hex = _coin(funding)
    if not script_hex:
        coin = wallet_transaction(node, Outpoint.parse(outpoint).txid)
        raw = transactions.read_transaction(coin.raw) if coin else None
        script_hex, amount_sat = raw.outputs[Outpoint.parse(outpoint).index] if raw else ("", 0)
    fees = node.fee_rates(conf_target=_CONF_TARGET)
    rate = max(2 * fees.estimate_sat_per_kw, 4 * fees.minimum_sat_per_kw)
    eager_sat = pricing.chain_fee_sat(pricing.CONFLICT_VBYTES, rate)
    fee_sat = max(budget.put_out_sat(fees), min(eager_sat, if_enough_sat), at_least_sat)
    fee_sat = min(fee_sat, max(amount_sat // 2, 1), settings.MAX_FUNDING_FEE_SAT)
    unsigned = transactions.conflict_psbt(
        Outpoint.parse(outpoint),
        pk_script=bytes.fromhex(script_hex),
        amount_sat=amount_sat,
        to_address=node.new_address(),
        fee_sat=fee_sat,
    )
    signed = node.finalize_psbt(unsigned)
    return signed.raw, signed.psbt, transactions.read_transaction(signed.raw).txid, fee_sat


def _coin(funding: WalletTransaction) -> tuple[str, int, str]:
    outpoint, amount_sat, script_hex = max(funding.inputs, key=lambda coin: (coin[1], coin[0]))
    return outpoint, amount_sat, script_hex


def _store(
    order: ChannelOrder, opening: ChannelOpening, raw: bytes, psbt: bytes, txid: str, fee_sat: int
) -> WalletTransaction:
    assert opening.transaction is not None
    return WalletTransaction.objects.create(
        kind=TransactionKind.CONFLICT,
        state=TransactionState.SIGNED,
        label=marks.label(TransactionKind.CONFLICT, order.pk),
        lock_id=marks.lock_id(order.pk),
        txid=txid,
        psbt=psbt,
        raw=raw,
        inputs=[list(_coin(opening.transaction))],
        fee_sat=fee_sat,
        created_at=timezone.now(),
    )


def push(order_id: UUID, node: LndNode) -> None:
    """The conflict is with the node; once a conflict is 6 deep the attempt is cancelled.

    Should our own funding be mined after all (published earlier, its reply lost) the attempt is PUBLISHED again.
    Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown.
    """
    order = queries.order_or_raise(order_id)
    opening = order.openings.filter(state=OpeningState.CONFLICTING).select_related("transaction", "conflict").first()
    if opening is None or opening.transaction is None or opening.conflict is None:
        return
    coins.renew(opening.transaction, node)
    ours = wallet_transaction(node, opening.transaction.txid)
    if ours is not None and ours.confirmations:
        if ours.confirmations >= settings.FINAL_DEPTH_BLOCKS:
            _record_ours_won(order_id, opening.pk)
        return
    other = broadcasting.rival(opening.transaction, node, from_height=order.created_height)
    if other is not None and other.confirmations >= settings.FINAL_DEPTH_BLOCKS:
        detail = f"{other.txid} spends a coin of the funding."
        _record_decided(order_id, opening.conflict, other.txid)  # first: no later look comes by here again
        if cancelling.begin(order_id, reason=opening.failure_reason, detail=detail, conflict_is_deep=True):
            cancelling.finish(order_id, node)
        return
    if other is None or other.confirmations == 0:
        _publish(order, opening, opening.conflict, node)


def _record_decided(order_id: UUID, conflict: WalletTransaction, winner_txid: str) -> None:
    with locked(order_id):
        machine.decided(conflict, winner_txid)


def _publish(order: ChannelOrder, opening: ChannelOpening, conflict: WalletTransaction, node: LndNode) -> None:
    try:
        broadcasting.publish(conflict, node)
    except Rejected as error:
        if error.reason == "fee_too_low":
            _rebuild(order, opening, conflict, node)
        return
    if conflict.published_at is None:
        with locked(order.pk) as held:
            machine.published(conflict, bytes(conflict.raw or b""))
            note(held, Cause.CONFLICT_PUBLISHED, attempt=opening.attempt, txid=conflict.txid)


def _rebuild(order: ChannelOrder, opening: ChannelOpening, conflict: WalletTransaction, node: LndNode) -> None:
    """A dearer version of the same spend: the floor has risen above the last one. With pauses, and a limit."""
    assert opening.transaction is not None
    pause = timedelta(seconds=settings.PUBLISH_PATIENCE_SECONDS // 4)
    if conflict.created_at + pause > timezone.now():
        return
    if conflict.fee_sat >= settings.MAX_FUNDING_FEE_SAT:
        with locked(order.pk) as held:
            words = "A funding is to be put out, but the fees are above MAX_FUNDING_FEE_SAT."
            raise_flag(held, FlagKind.CONFLICT_TOO_DEAR, words)
        return
    left_sat, dearer_sat = budget.left_sat(order), conflict.fee_sat * 3 // 2 + 1
    raw, psbt, txid, fee_sat = _sign(opening.transaction, node, at_least_sat=dearer_sat, if_enough_sat=left_sat)
    if fee_sat <= conflict.fee_sat:
        return  # the coin has no more to give
    with locked(order.pk) as held:
        current = held.openings.select_related("transaction").get(pk=opening.pk)
        if current.state == OpeningState.CONFLICTING:
            current.conflict = _store(held, current, raw, psbt, txid, fee_sat)
            current.save()
            note(held, Cause.CONFLICT_REBUILT, attempt=current.attempt, txid=txid, fee_sat=fee_sat)
            _tell_if_dear(held, current, txid, fee_sat, left_sat)


def _record_ours_won(order_id: UUID, opening_id: int) -> None:
    with locked(order_id) as order:
        opening = order.openings.select_related("transaction", "conflict").get(pk=opening_id)
        if opening.state == OpeningState.CONFLICTING:
            move_opening(order, opening, OpeningState.PUBLISHED)
            if opening.conflict is not None and opening.transaction is not None:
                machine.decided(opening.conflict, opening.transaction.txid)
            note(order, Cause.FUNDING_MINED_AFTER_ALL, attempt=opening.attempt)
            words = "The funding was mined although we had put it out: see whether it was paid."
            raise_flag(order, FlagKind.MINED_AFTER_ALL, words)
