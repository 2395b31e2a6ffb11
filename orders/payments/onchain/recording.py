"""Every output that pays an address of ours is recorded, on time or not."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from lightning.types import ChainTransaction, TxOutput
from orders import books, flags, money
from orders.causes import Cause, FlagKind
from orders.flags import Found, raise_flag
from orders.models import ChannelOrder, OnchainPayment
from orders.models.order import Rail
from orders.nudges import CHANNEL, FOUND, nudge
from orders.payments.onchain.reserving import reserve
from orders.payments.surprises import flag_surprises
from orders.states import At, DepositState
from orders.transitions import locked, note

log = logging.getLogger(__name__)

#: What is journalled where a deposit has come to a state.
_NEWS: Final = {DepositState.SEEN: Cause.DEPOSIT_SEEN, DepositState.CONFIRMED: Cause.DEPOSIT_CONFIRMED}


def relevant(transactions: Iterable[ChainTransaction]) -> list[ChainTransaction]:
    """Those that pay an order's address."""
    found = list(transactions)
    known = _orders_addresses(found)
    return [tx for tx in found if any(output.address in known for output in tx.outputs if output.ours)]


def unknown(transactions: Iterable[ChainTransaction]) -> list[ChainTransaction]:
    """Those in blocks that pay an order's address by an output that we do not have as the wallet does."""
    found = [transaction for transaction in transactions if transaction.confirmations]
    addresses = _orders_addresses(found)
    rows = OnchainPayment.objects.filter(state=DepositState.CONFIRMED, txid__in=[tx.txid for tx in found])
    known = set(rows.values_list("txid", "vout", "block_height"))
    return [
        tx
        for tx in found
        if any(
            (tx.txid, output.index, tx.block_height) not in known
            for output in tx.outputs
            if output.ours and output.amount_sat and output.address in addresses
        )
    ]


def _orders_addresses(transactions: Iterable[ChainTransaction]) -> set[str | None]:
    """Those of our outputs' addresses that belong to an order."""
    addresses = {output.address for transaction in transactions for output in transaction.outputs if output.ours}
    orders = ChannelOrder.objects.filter(deposit_address__in=addresses)
    return set(orders.values_list("deposit_address", flat=True))


def record(transactions: Sequence[ChainTransaction]) -> bool:
    """Every output among these that pays an order's address has its row, as the node sees it now; False: not all.

    Money: never lost: a row for each output, on time or not. Repeat: safe; a row is found by txid and index.
    """
    paying: dict[str, list[tuple[ChainTransaction, TxOutput]]] = defaultdict(list)
    for transaction in transactions:
        for output in transaction.outputs:
            if output.ours and output.address and output.amount_sat:  # nothing can be paid with nothing
                paying[output.address].append((transaction, output))
    whole = True
    orders = ChannelOrder.objects.filter(deposit_address__in=list(paying)).values_list("pk", "deposit_address")
    for order_id, address in orders:
        if address is None or not _differs(order_id, paying[address]):
            continue
        try:
            _record(order_id, paying[address])
        except Exception:  # one order's defect must not keep the others' deposits from their rows
            log.exception("order=%s a deposit could not be recorded", order_id)
            whole = False
    return whole


def known_since(from_height: int) -> list[OnchainPayment]:
    """The deposits that a look at the node from this height on will show, if they are still there."""
    # By state, not by the missing height: those that vanished have none either, and PostgreSQL would count on them.
    mined = Q(state=DepositState.CONFIRMED, block_height__gte=from_height)
    return list(OnchainPayment.objects.filter(Q(state=DepositState.SEEN) | mined))


def forget(known: Iterable[OnchainPayment], transactions: Iterable[ChainTransaction]) -> None:
    """Those of `known`, read before the look, that it no longer shows have vanished: replaced or taken back."""
    there = {transaction.txid for transaction in transactions}
    for row in known:
        if row.txid not in there:
            _vanish(row.pk, row.order_id)


def _vanish(deposit_id: int, order_id: UUID) -> None:
    with locked(order_id) as order:
        row = OnchainPayment.objects.get(pk=deposit_id)
        with books.following(order, row):
            row.state, row.block_height, row.confirmations = DepositState.VANISHED, None, 0
        row.save()
        note(order, Cause.DEPOSIT_VANISHED, txid=row.txid, vout=row.vout, amount_sat=row.amount_sat)
        if order.counted_payment == Rail.ONCHAIN:
            words = "A deposit that counted is not in the node's wallet any more."
            raise_flag(order, FlagKind.DEPOSIT_VANISHED, words)
        reserve(order)
        nudge(order)


def _differs(order_id: UUID, seen: Iterable[tuple[ChainTransaction, TxOutput]]) -> bool:
    rows = (
        OnchainPayment.objects.filter(order=order_id)
        .exclude(state=DepositState.VANISHED)
        .values_list("txid", "vout", "confirmations", "block_height")
    )
    known = {(txid, vout): (confirmations, height) for txid, vout, confirmations, height in rows}
    return any(
        known.get((transaction.txid, output.index)) != (transaction.confirmations, transaction.block_height or None)
        for transaction, output in seen
    )


def _record(order_id: UUID, seen: Sequence[tuple[ChainTransaction, TxOutput]]) -> None:
    with locked(order_id) as order:
        is_news = _write(order, seen)
        nudge(order, CHANNEL if is_news else FOUND)
        if is_news:
            flag_surprises(order)
            _see_whether_back(order)
            reserve(order)


def _see_whether_back(order: ChannelOrder) -> None:
    """What was said of deposits that were missing is over once blocks have all that counted."""
    if order.counted_payment == Rail.ONCHAIN and money.of(order, At.CONFIRMED, rail=Rail.ONCHAIN).is_covered:
        flags.happened(order, Found.DEPOSITS)


def _write(order: ChannelOrder, seen: Sequence[tuple[ChainTransaction, TxOutput]]) -> bool:
    """Every output has its row; whether any is news, and not only one block more.

    In a few statements for all: a stranger chooses how many outputs he pays with, and others wait meanwhile.
    """
    transactions = {transaction.txid: transaction for transaction, _ in seen}
    known = {(row.txid, row.vout): row for row in OnchainPayment.objects.filter(txid__in=transactions)}
    # By output: a list that names one twice must not keep all of them from their rows.
    rows = {(transaction.txid, output.index): _row(order, transaction, output) for transaction, output in seen}
    news: dict[tuple[str, Cause], list[OnchainPayment]] = defaultdict(list)
    for key, row in rows.items():
        before = known.get(key)
        if before is None:
            news[row.txid, Cause.DEPOSIT_SEEN].append(row)
        elif before.state != row.state:
            news[row.txid, _NEWS[DepositState(row.state)]].append(row)
            _see_whether_taken_back(order, before)
    for transaction in transactions.values():
        OnchainPayment.objects.filter(txid=transaction.txid, order=order).update(**_depth(transaction))
    OnchainPayment.objects.bulk_create([row for key, row in rows.items() if key not in known])
    books.deposits(order, [known[key] for key in rows.keys() & known.keys()], rows.values())
    for (txid, cause), changed in news.items():
        _tell(order, cause, txid, changed)
    return bool(news)


def _depth(transaction: ChainTransaction) -> dict[str, Any]:
    """How deep its outputs are now, as their rows say it."""
    return {
        "state": DepositState.CONFIRMED if transaction.confirmations else DepositState.SEEN,
        "confirmations": transaction.confirmations,
        "block_height": transaction.block_height or None,
    }


def _row(order: ChannelOrder, transaction: ChainTransaction, output: TxOutput) -> OnchainPayment:
    """The output as the node has it now; not saved."""
    return OnchainPayment(
        order=order,
        txid=transaction.txid,
        vout=output.index,
        amount_sat=output.amount_sat,
        seen_at=min(timezone.now(), datetime.fromtimestamp(transaction.at, UTC)),
        inputs=[str(outpoint) for outpoint in transaction.inputs],
        **_depth(transaction),
    )


def _see_whether_taken_back(order: ChannelOrder, before: OnchainPayment) -> None:
    """One that was in a block, and is elsewhere now."""
    if before.state == DepositState.CONFIRMED and order.counted_payment == Rail.ONCHAIN:
        words = "A deposit that counted was taken back by a reorganisation."
        raise_flag(order, FlagKind.DEPOSIT_TAKEN_BACK, words)


def _tell(order: ChannelOrder, cause: Cause, txid: str, rows: Sequence[OnchainPayment]) -> None:
    """One row of the journal for a transaction, however many of its outputs pay the order."""
    one = len(rows) == 1
    note(
        order,
        cause,
        txid=txid,
        vout=rows[0].vout if one else None,
        outputs=None if one else len(rows),
        amount_sat=sum(row.amount_sat for row in rows),
        confirmations=rows[0].confirmations or None,
    )
