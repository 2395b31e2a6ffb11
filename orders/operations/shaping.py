"""Coins of other sizes are made of the wallet's: one transaction of ours at a time, to ourselves alone.

Signed, stored, then published, as everything that we publish; whoever looks next goes on where a process has died.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from django.conf import settings
from django.db import transaction as database
from django.utils import timezone

from lightning import rights, transactions
from lightning.errors import NotFound, OutcomeUnknown, Rejected
from lightning.node import LndNode
from lightning.rights import Feature
from lightning.types import Utxo
from orders import locks, marks, queries
from orders.errors import NotPossible
from orders.locks import Lock
from orders.models import SHAPING, NodeSnapshot, WalletTransaction
from orders.operations.snapshot import refresh_snapshot
from orders.states import TransactionState
from orders.wallet import broadcasting, coins, inventory, shape
from orders.wallet import transaction as machine
from orders.wallet.looking import wallet_transaction
from orders.wallet.reshaping import Means, Plan

log = logging.getLogger(__name__)

_UNFINISHED = (TransactionState.DRAFTED, TransactionState.SIGNED, TransactionState.PUBLISHED)


def means(node: LndNode) -> Means:
    """What can be used now, and what it may cost. Raises: NotAvailable, NodeUnavailable."""
    seen = refresh_snapshot(node)
    return Means(
        coins=inventory.take(node).deep,
        promised_sat=queries.promised_sat(seen),
        sat_per_kw=seen.estimate_sat_per_kw,
        most_fee_sat=settings.MAX_FUNDING_FEE_SAT,
    )


def under_way() -> WalletTransaction | None:
    """The one that is not deep yet."""
    return WalletTransaction.objects.filter(kind__in=SHAPING, state__in=_UNFINISHED).first()


def carry_out(plan: Plan, node: LndNode) -> WalletTransaction:
    """The plan's transaction is published: its coins are ours again, in other sizes, once it is deep.

    Money: nobody else's is touched; the fee is the plan's. Until it is signed nothing can come of it.
    Repeat: safe; there is one at a time, and `go_on` brings one to its end that was left.
    Raises: NotPossible, NodeUnavailable, OutcomeUnknown.
    """
    if method := rights.lacking(Feature.SHAPING, node):
        raise NotPossible(f"The macaroon does not allow {method}.")
    with _alone():
        if under_way() is not None:
            raise NotPossible("The last such transaction is not deep yet.")
        _lease(plan.inputs, node)
        _require_enough_left(node)
        row = _record_drafted(plan, node)
        _push(row, node)
        row.refresh_from_db()
    return row


def go_on(node: LndNode) -> WalletTransaction | None:
    """What was left is a step further; None where nothing is. Coins that a process had leased that died are free again.

    Repeat: safe, at any time, by anybody. Raises: NodeUnavailable, OutcomeUnknown.
    """
    with suppress(NotPossible), _alone():
        row = under_way()
        if row is not None:
            _push(row, node)
        else:
            coins.release(marks.shaping_lock_id(), node)
    return under_way()


@contextmanager
def _alone() -> Iterator[None]:
    with locks.only_one(Lock.COINS) as obtained:
        if not obtained:
            raise NotPossible("Somebody else is at it.")
        yield


def _lease(chosen: tuple[Utxo, ...], node: LndNode) -> None:
    for coin in chosen:
        try:
            node.lease(coin.outpoint, lock_id=marks.shaping_lock_id(), seconds=settings.FUNDING_LEASE_SECONDS)
        except (Rejected, NotFound) as error:
            coins.release(marks.shaping_lock_id(), node)
            raise NotPossible("One of the coins was taken meanwhile.") from error


def _require_enough_left(node: LndNode) -> None:
    """What open orders need is left to them: counted once the coins are leased, so that what is sold now counts too."""
    seen = refresh_snapshot(node)
    if not _suffices(seen, queries.promised_sat(seen)):
        coins.release(marks.shaping_lock_id(), node)
        raise NotPossible("Open orders need these coins now.")


def _suffices(seen: NodeSnapshot, promised_sat: int) -> bool:
    needed = shape.draft(seen.shape, wanted_sat=promised_sat, sat_per_kw=seen.estimate_sat_per_kw)
    return promised_sat == 0 or needed is not None


def _record_drafted(plan: Plan, node: LndNode) -> WalletTransaction:
    psbt = transactions.own_psbt(
        [(coin.outpoint, coin.address, coin.amount_sat) for coin in plan.inputs],
        [(node.new_address(), amount_sat) for amount_sat in plan.outputs_sat],
    )
    unsigned = transactions.read_psbt(psbt)
    scripts = [transactions.address_script(coin.address) for coin in plan.inputs]
    with database.atomic(durable=True):
        return WalletTransaction.objects.create(
            kind=plan.kind,
            label=marks.shaping_label(plan.kind, uuid4()),
            txid=unsigned.txid,
            psbt=psbt,
            lock_id=marks.shaping_lock_id(),
            inputs=[
                [str(coin.outpoint), coin.amount_sat, script] for coin, script in zip(plan.inputs, scripts, strict=True)
            ],
            fee_sat=plan.fee_sat,
            created_at=timezone.now(),
        )


def _push(row: WalletTransaction, node: LndNode) -> None:
    if row.state == TransactionState.DRAFTED:
        _sign(row, node)
    if row.state == TransactionState.SIGNED:
        _publish(row, node)
    if row.state == TransactionState.PUBLISHED:
        _watch(row, node)


def _sign(row: WalletTransaction, node: LndNode) -> None:
    if not _is_still_ours(row, node):
        return
    signed = node.finalize_psbt(bytes(row.psbt))
    final = transactions.read_transaction(signed.raw)
    if final.txid != row.txid or not final.every_input_has_witness:
        _exclude(row, node)
        raise NotPossible("The node signed another transaction, or not all of it.")
    with database.atomic(durable=True):
        machine.signed(row, signed.raw)
    row.refresh_from_db()


def _publish(row: WalletTransaction, node: LndNode) -> None:
    if wallet_transaction(node, row.txid) is None:  # else the answer was lost
        if not _is_still_ours(row, node):
            return
        try:
            broadcasting.publish(row, node)
        except Rejected as error:
            log.warning("%s the node refuses it: %s", row.label, error)
            return  # a fee that is too low now may do later; a coin that is spent is not ours at the next look
    with database.atomic(durable=True):
        machine.published(row, bytes(row.raw or b""))
    row.refresh_from_db()
    log.info("%s txid=%s is published", row.label, row.txid)


def _is_still_ours(row: WalletTransaction, node: LndNode) -> bool:
    """Each coin is leased again under our id; else somebody has it, and nothing will come of this."""
    for outpoint in row.spends:
        try:
            node.lease(outpoint, lock_id=bytes(row.lock_id), seconds=settings.FUNDING_LEASE_SECONDS)
        except (Rejected, NotFound):
            log.warning("%s the coin %s is taken: it is not made", row.label, outpoint)
            _exclude(row, node)
            return False
    return True


def _exclude(row: WalletTransaction, node: LndNode) -> None:
    coins.release(bytes(row.lock_id), node)
    with database.atomic(durable=True):
        machine.excluded(row)
    row.refresh_from_db()


def _watch(row: WalletTransaction, node: LndNode) -> None:
    """Published again until it is deep; then its coins are free. Or a rival is deep, and it never will be."""
    seen = wallet_transaction(node, row.txid)
    if seen is not None and seen.confirmations >= settings.FINAL_DEPTH_BLOCKS:
        coins.release(bytes(row.lock_id), node)
        with database.atomic(durable=True):
            machine.deep(row)
        return
    coins.renew(row, node)
    if seen is None or not seen.confirmations:
        with suppress(OutcomeUnknown):
            broadcasting.rebroadcast(row, node)
        _give_way(row, node)


def _give_way(row: WalletTransaction, node: LndNode) -> None:
    other = broadcasting.rival(row, node, from_height=0)
    if other is not None and other.confirmations >= settings.FINAL_DEPTH_BLOCKS:
        _exclude(row, node)
