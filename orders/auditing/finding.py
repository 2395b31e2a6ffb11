"""What our node does by itself is booked once it is deep: children that pay for a funding, closes, and their sweeps."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import connection

from lightning.node import LndNode
from lightning.types import ChainTransaction
from orders.auditing.wallet import FOUND, NEVER_WAS, Category, Moved, Wallet
from orders.books.posting import About, post, post_once
from orders.books.saying import Legs
from orders.models import Account, EntryKind
from orders.wallet.looking import as_the_chain_has_them

_KINDS: Final = {
    Category.CHILD: EntryKind.CHILD,
    Category.CLOSE: EntryKind.CLOSE,
    Category.SWEEP: EntryKind.SWEEP,
    Category.WRITTEN_OFF: EntryKind.WRITTEN_OFF,
}
#: Sold channels that are over, and what the books still have in them.
_OVER: Final = """
SELECT a.id, a.order_id, a.close_type, sum(l.amount_msat)::bigint
  FROM orders_channelopening a
  JOIN orders_channelorder o ON o.id = a.order_id AND o.state = 'closed'
  JOIN orders_entry e ON e.order_id = a.order_id
  JOIN orders_leg l ON l.entry_id = e.id AND l.account = 'channels'
 WHERE a.state = 'confirmed' AND a.close_height <= %(height)s
 GROUP BY a.id, a.order_id, a.close_type HAVING sum(l.amount_msat) <> 0
"""


def book(wallet: Wallet, moved: Iterable[Moved], booked: Collection[str], node: LndNode) -> int:
    """Each of these that is deep has its entry; how many were missing. Repeat: safe, beside another too.

    Raises: NodeUnavailable.
    """
    missing = [each for each in moved if each.category in FOUND and each.txid not in booked and _is_deep(each)]
    checked = as_the_chain_has_them(node, [each.transaction for each in missing])
    there = {transaction.txid for transaction in checked if transaction.confirmations}
    for each in missing:
        if each.txid in there:
            about = About(_KINDS[each.category], each.txid, each.order_id, txid=each.txid)
            post_once(about, legs(each, wallet))
    return len(there)


def end_channels(wallet: Wallet) -> None:
    """What a channel that is over did not bring back has gone by Lightning; of one that never was it is lost.

    Repeat: safe. The caller holds the lock of the books.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OVER, {"height": wallet.height - settings.FINAL_DEPTH_BLOCKS})
        rows: list[tuple[int, UUID, str, int]] = cursor.fetchall()
    for opening_id, order_id, close_type, msat in rows:
        where = Account.LOSSES if close_type in NEVER_WAS else Account.LIGHTNING
        post(About(EntryKind.ENDED, f"{opening_id}", order_id), {Account.CHANNELS: -msat, where: msat})


def legs(moved: Moved, wallet: Wallet) -> Legs:
    """A child costs what it takes; of a close or sweep what it costs was ours in the channel, as what it brings."""
    delta = moved.delta_sat * 1000
    if moved.category in {Category.CHILD, Category.WRITTEN_OFF}:
        return {Account.WALLET: delta, Account.CHAIN_FEES: -delta}
    fee = fee_sat(moved.transaction, wallet) * 1000
    return {Account.WALLET: delta, Account.CLOSE_COSTS: fee, Account.CHANNELS: -delta - fee}


def fee_sat(transaction: ChainTransaction, wallet: Wallet) -> int:
    """What it paid to be mined; 0 where nobody tells us what it spends was worth."""
    worth = [wallet.worth.get(outpoint) for outpoint in transaction.inputs]
    known = [sat for sat in worth if sat is not None]
    paid_sat = sum(output.amount_sat for output in transaction.outputs)
    return sum(known) - paid_sat if len(known) == len(worth) else 0


def _is_deep(moved: Moved) -> bool:
    return moved.transaction.confirmations >= settings.FINAL_DEPTH_BLOCKS
