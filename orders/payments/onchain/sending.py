"""What is due goes back on chain: signed, stored, published; published again, and dearer, until it is deep.

Money: at most one effective refund. All versions of one spend the very same coins; and only when another transaction
that spends one of them is deep may others be taken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from lightning import transactions
from lightning.errors import InsufficientFunds, NodeUnavailable, NotFound, OutcomeUnknown, Rejected
from lightning.node import LndNode
from lightning.types import FeeRates, Outpoint, SignedPsbt, Utxo
from orders import books, marks, queries, serving
from orders.causes import Cause, FlagKind
from orders.flags import flag, raise_flag
from orders.models import ChannelOrder, Refund, TransactionKind, WalletTransaction
from orders.models.order import Rail
from orders.payments.onchain import due, refunding
from orders.states import OrderState, RefundState, TransactionState
from orders.transitions import locked, move, move_refund, note
from orders.wallet import broadcasting, choosing, coins
from orders.wallet import transaction as machine
from orders.wallet.looking import LOOK_BACK_BLOCKS, wallet_transaction
from orders.wallet.refunded import sent_back_sat

log = logging.getLogger(__name__)

#: The buyer's output is the first, our change the second.
_TO_BUYER: Final = 0
#: A version that takes another's place pays so much more at least: nodes relay no less.
_DEARER_PERCENT: Final = 125
_LEAST_SAT_PER_VBYTE: Final = 1
#: More of it is never given for its fee: what stays unmined for so much waits for lower ones.
_MOST_FEE_PERCENT: Final = 50


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the transaction, signed."""

    psbt: bytes
    signed: SignedPsbt
    inputs: list[tuple[str, int, str]]
    change_index: int
    fee_sat: int


def step(order_id: UUID, node: LndNode) -> None:
    """The order's refund is one step further, if it has one that can be. Repeat: safe, at any time, by anybody.

    Raises: NodeUnavailable, OutcomeUnknown.
    """
    order = queries.order_or_raise(order_id)
    refund = due.live(order)
    if refund is None:
        return
    steps = {RefundState.DUE: _sign, RefundState.SIGNED: _publish, RefundState.PUBLISHED: _watch}
    try:
        steps[RefundState(refund.state)](order, refund, node)
    except NodeUnavailable as error:
        if error.reason != "PERMISSION_DENIED":
            raise
        words = "Our macaroon lacks a right that sending money back needs: `manage.py doctor` says which."
        flag(order.pk, FlagKind.REFUND_STUCK, words)


# Signed and stored: from here on it may be in the chain one day


def _sign(order: ChannelOrder, refund: Refund, node: LndNode) -> None:
    with locked(order.pk) as held:
        if refunding.withdraw_if_owed(held, timezone.now()) or not held.refund_address:
            return
        if serving.bars_refund(held):
            refunding.keep_barred(held)
            return
    if _was_sent_back(order, node):
        with locked(order.pk) as held:
            words = "The wallet has sent money of this order back that our records do not know: nothing more is sent."
            raise_flag(held, FlagKind.SENT_BACK, words)
        return
    lock_id = marks.refund_lock_id(order.pk)
    before = coins.held(lock_id, node)
    coins.release(lock_id, node)
    version = _first_version(order, refund, held.refund_address, before, node)
    if version is not None:
        _store(refund, version, address=held.refund_address)


def _was_sent_back(order: ChannelOrder, node: LndNode) -> bool:
    """By hand, or by us before our records were put back."""
    since = max(0, order.created_height - LOOK_BACK_BLOCKS)
    return bool(sent_back_sat(order.pk, node.transactions(from_height=since)))


def _first_version(
    order: ChannelOrder, refund: Refund, address: str, before: Sequence[Outpoint], node: LndNode
) -> Version | None:
    """Signed, of coins that are leased for it; None where coins are short, or it would cost too much just now."""
    try:
        chosen = _choose(order, refund, before, node)
        _lease(chosen, marks.refund_lock_id(order.pk), node)
    except (InsufficientFunds, Rejected, NotFound) as error:
        flag(order.pk, FlagKind.REFUND_STUCK, f"{refund.amount_sat} sat cannot be sent back now: {error}")
        return None
    spends = [(coin.outpoint, coin.address, coin.amount_sat) for coin in chosen]
    change_sat = choosing.total_sat(chosen) - refund.amount_sat
    has_change = change_sat >= due.DUST_SAT

    def paying(change_to: str) -> bytes:
        change = [(change_to, change_sat)] if has_change else []
        return transactions.own_psbt(spends, [(address, refund.amount_sat), *change])

    vbytes = transactions.read_psbt(paying(chosen[0].address)).vbytes
    fee_sat = max(_fee_sat(vbytes, _rates(node)) - (0 if has_change else change_sat), 0)
    if fee_sat > _most_fee_sat(refund):  # in words that stay the same: others are journalled at each look
        flag(order.pk, FlagKind.REFUND_STUCK, f"Sending {refund.amount_sat} sat back would cost too much of it now.")
        return None
    # A wallet that is put back looks no farther than some addresses: none is taken for what is not signed.
    psbt = paying(node.new_address() if has_change else "")
    inputs = [(str(coin.outpoint), coin.amount_sat, transactions.address_script(coin.address)) for coin in chosen]
    return _signed(psbt, refund, inputs, 1 if has_change else -1, fee_sat, node)


def _most_fee_sat(refund: Refund) -> int:
    """What of it may be spent to send it."""
    return min(refund.amount_sat * _MOST_FEE_PERCENT // 100, refund.amount_sat - due.DUST_SAT)


def _choose(order: ChannelOrder, refund: Refund, before: Sequence[Outpoint], node: LndNode) -> list[Utxo]:
    """The order's own deposits as far as they are there; others only where they do not suffice.

    First of all what was leased for it `before`: who leased it may have signed, and lost what was recorded of that.
    Whatever spends the same coin excludes it.
    Money: what LND keeps to close its channels is spent for nobody; but what the buyer has brought is his.
    Raises: InsufficientFunds.
    """
    native = choosing.native(node.coins(min_confirmations=settings.FINAL_DEPTH_BLOCKS))
    own = {f"{row.txid}:{row.vout}" for row in order.onchain_payments.all()}
    by_size = sorted(native, key=lambda coin: (coin.outpoint not in before, -coin.amount_sat, coin.outpoint))
    own_first = sorted(by_size, key=lambda coin: (coin.outpoint not in before, str(coin.outpoint) not in own))
    chosen = _enough(own_first, refund.amount_sat) or _enough(by_size, refund.amount_sat)
    if not chosen:
        raise InsufficientFunds("our coins do not suffice.")
    left_sat = choosing.total_sat(native) - refund.amount_sat
    is_ours = any(str(coin.outpoint) not in own for coin in chosen)
    if is_ours and left_sat < node.required_reserve_sat(additional_public_channels=0):
        raise InsufficientFunds("LND keeps what would be left to close its channels.")
    return chosen


def _enough(coins: Sequence[Utxo], wanted_sat: int) -> list[Utxo]:
    """The first of them that bring so much, in a transaction that nodes relay; none where they do not."""
    chosen: list[Utxo] = []
    for coin in coins[: due.MOST_DEPOSITS]:
        chosen.append(coin)
        if choosing.total_sat(chosen) >= wanted_sat:
            return chosen
    return []


def _lease(chosen: Iterable[Utxo], lock_id: bytes, node: LndNode) -> None:
    for coin in chosen:
        node.lease(coin.outpoint, lock_id=lock_id, seconds=settings.FUNDING_LEASE_SECONDS)


def _rates(node: LndNode) -> FeeRates:
    return node.fee_rates(conf_target=settings.FUNDING_CONF_TARGET)


def _fee_sat(vbytes: int, fees: FeeRates) -> int:
    """At the estimate; sat/kW are satoshis for 1,000 weight units, of which a vbyte has four."""
    return -(-vbytes * 4 * max(fees.estimate_sat_per_kw, fees.minimum_sat_per_kw) // 1000)


def _signed(
    psbt: bytes, refund: Refund, inputs: Sequence[tuple[str, int, str]], change_index: int, fee_sat: int, node: LndNode
) -> Version | None:
    unsigned = transactions.with_output(psbt, _TO_BUYER, refund.amount_sat - fee_sat)
    signed = node.finalize_psbt(unsigned)
    expected, final = transactions.read_psbt(unsigned), transactions.read_transaction(signed.raw)
    if final.txid != expected.txid or not final.every_input_has_witness:
        log.error("refund=%s the node signed another transaction, or not all of it", refund.pk)
        return None
    return Version(unsigned, signed, list(inputs), change_index, fee_sat)


def _store(refund: Refund, version: Version, *, address: str) -> bool:
    """Whether it is stored, and may be published: not where somebody has changed what it was signed for."""
    with locked(refund.order_id) as order:
        current = order.refunds.get(pk=refund.pk)
        if (current.state, current.transaction_id) != (refund.state, refund.transaction_id):
            return False
        is_first = current.state == RefundState.DUE
        if is_first and (refunding.withdraw_if_owed(order, timezone.now()) or order.refund_address != address):
            return False
        if is_first and serving.bars_refund(order):
            return False
        row = WalletTransaction.objects.create(
            kind=TransactionKind.REFUND,
            state=TransactionState.SIGNED,
            label=marks.refund_label(order.pk, refund.pk),
            txid=transactions.read_transaction(version.signed.raw).txid,
            psbt=version.psbt,
            raw=version.signed.raw,
            lock_id=marks.refund_lock_id(order.pk),
            inputs=[list(coin) for coin in version.inputs],
            change_index=version.change_index,
            fee_sat=version.fee_sat,
            created_at=timezone.now(),
        )
        cause = Cause.REFUND_SIGNED if is_first else Cause.REFUND_REBUILT
        fields = {"transaction": row, "fee_sat": version.fee_sat, "address": address}
        move_refund(order, current, RefundState.SIGNED, **fields)
        note(order, cause, txid=row.txid, amount_sat=current.sent_sat, fee_sat=row.fee_sat, address=address)
    return True


# Published


def _publish(order: ChannelOrder, refund: Refund, node: LndNode) -> None:
    version = refund.transaction
    assert version is not None  # the database says so
    if _settle(order, refund, node):
        return
    coins.renew(version, node)
    try:
        broadcasting.publish(version, node)
    except (Rejected, OutcomeUnknown) as error:
        log.warning("order=%s its refund is not taken: %s", order.pk, error)
        is_low = isinstance(error, Rejected) and error.reason == "fee_too_low"
        if not _rebuild(order, refund, node, refused=is_low):
            _tell_if_slow(order, refund)
        return
    with locked(order.pk) as held:
        current = held.refunds.get(pk=refund.pk)
        if current.state == RefundState.SIGNED and current.transaction_id == version.pk:
            machine.published(version, bytes(version.raw or b""))
            move_refund(held, current, RefundState.PUBLISHED)
            note(held, Cause.REFUND_PUBLISHED, txid=version.txid)


def _watch(order: ChannelOrder, refund: Refund, node: LndNode) -> None:
    version = refund.transaction
    assert version is not None
    if _settle(order, refund, node):
        return
    coins.renew(version, node)
    try:
        broadcasting.rebroadcast(version, node)
    except OutcomeUnknown as error:
        log.info("order=%s its refund is published again at the next look: %s", order.pk, error)
    _rebuild(order, refund, node, refused=False)


def _tell_if_slow(order: ChannelOrder, refund: Refund) -> None:
    """A coin of it may be gone where our wallet does not see it: then no look of ours ends it."""
    version = refund.transaction
    assert version is not None
    if version.created_at + timedelta(seconds=settings.PUBLISH_PATIENCE_SECONDS) <= timezone.now():
        flag(order.pk, FlagKind.REFUND_STUCK, "A refund is signed, and the node does not take it: see why in the log.")


def _settle(order: ChannelOrder, refund: Refund, node: LndNode) -> bool:
    """Whether the chain has decided, or is about to: one of the versions is in a block, or none ever will be."""
    versions = _versions(order, refund)
    seen = [(wallet_transaction(node, version.txid), version) for version in versions]
    mined = [(found.confirmations, version) for found, version in seen if found is not None and found.confirmations]
    if mined:
        depth, version = max(mined, key=lambda pair: pair[0])
        _record_mined(refund, version, is_deep=depth >= settings.FINAL_DEPTH_BLOCKS, node=node)
        return True
    rivals = broadcasting.rival(versions[-1], node, from_height=order.created_height)
    ours = {version.txid for version in versions}
    if rivals is None or rivals.txid in ours or rivals.confirmations < settings.FINAL_DEPTH_BLOCKS:
        return False
    _record_excluded(refund, versions, rivals.txid)
    return True


def _versions(order: ChannelOrder, refund: Refund) -> list[WalletTransaction]:
    label = marks.refund_label(order.pk, refund.pk)
    ours = WalletTransaction.objects.filter(kind=TransactionKind.REFUND, label=label)
    return list(ours.exclude(state=TransactionState.EXCLUDED))


def _record_mined(refund: Refund, version: WalletTransaction, *, is_deep: bool, node: LndNode) -> None:
    """The buyer has it. Deep, nothing changes that any more, and nobody can take its coins: they are freed first, since
    after the record nobody looks again.
    """
    if is_deep:
        coins.release(bytes(version.lock_id), node)
    with locked(refund.order_id) as order:
        current = order.refunds.get(pk=refund.pk)
        machine.published(version, bytes(version.raw or b""))
        if current.state == RefundState.SIGNED:
            move_refund(order, current, RefundState.PUBLISHED)
        if current.refunded_at is None:
            with books.following(order, current):
                current.refunded_at, current.transaction, current.fee_sat = timezone.now(), version, version.fee_sat
            current.save()
            note(order, Cause.REFUND_MINED, txid=version.txid, amount_sat=current.sent_sat, fee_sat=current.fee_sat)
            _end(order, current)
        if is_deep and current.state == RefundState.PUBLISHED:
            machine.decided(version, version.txid)
            fields = {"transaction": version, "fee_sat": version.fee_sat}
            move_refund(order, current, RefundState.DONE, **fields)
            note(order, Cause.REFUND_DONE, txid=version.txid)


def _end(order: ChannelOrder, refund: Refund) -> None:
    if refund.ends_order and order.state != OrderState.REFUNDED:
        order.counted_payment = order.counted_payment or Rail.ONCHAIN
        move(order, OrderState.REFUNDED, cause=Cause.REFUND_MINED, rail=Rail.ONCHAIN.value)


def _record_excluded(refund: Refund, versions: Sequence[WalletTransaction], rival_txid: str) -> None:
    """Somebody has spent one of its coins elsewhere: it is due again, of other coins."""
    with locked(refund.order_id) as order:
        current = order.refunds.get(pk=refund.pk)
        for version in versions:
            machine.excluded(version)
        fields = {"transaction": None, "fee_sat": 0, "address": "", "refunded_at": None}
        move_refund(order, current, RefundState.DUE, **fields)
        note(order, Cause.REFUND_EXCLUDED, rival=rival_txid)


# Dearer


def _rebuild(order: ChannelOrder, refund: Refund, node: LndNode, *, refused: bool) -> bool:
    """Whether there is a version of the same coins that pays more, once the last one has had its time.

    More than all before: a reorganisation may have taken back one that was not the dearest. Its cost is the buyer's.
    """
    version = max(_versions(order, refund), key=lambda each: each.fee_sat)
    patience = settings.PUBLISH_PATIENCE_SECONDS // 4 if refused else settings.REFUND_BUMP_AFTER_SECONDS
    if version.created_at + timedelta(seconds=patience) > timezone.now():
        return False
    vbytes = transactions.read_psbt(bytes(version.psbt)).vbytes
    dearer_sat = max(
        version.fee_sat * _DEARER_PERCENT // 100, version.fee_sat + vbytes * _LEAST_SAT_PER_VBYTE,
        _fee_sat(vbytes, _rates(node)),
    )  # fmt: skip
    fee_sat = min(dearer_sat, _most_fee_sat(refund))
    if fee_sat < version.fee_sat + vbytes * _LEAST_SAT_PER_VBYTE:
        flag(order.pk, FlagKind.REFUND_STUCK, "A refund stays unmined, and has no more to give for its fee.")
        return False
    inputs = [(str(outpoint), amount, script) for outpoint, amount, script in version.inputs]
    dearer = _signed(bytes(version.psbt), refund, inputs, version.change_index, fee_sat, node)
    return dearer is not None and _store(refund, dearer, address=refund.address)
