"""Who has paid a deposit: the scripts of the coins it spends, asked of the chain source, where one is set.

A coin tells its script for as long as it is unspent in blocks, which it is until the deposit is in one itself. So this
is asked while the deposit waits; afterwards only a node that keeps an index of transactions can tell.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from django.conf import settings

from chain import connection as chain
from chain.errors import Unreadable
from chain.node import ChainNode, in_time
from lightning.types import Outpoint
from orders import serving
from orders.barring import BanKind
from orders.models import ChannelOrder, OnchainPayment
from orders.payments.onchain import foreseeing
from orders.states import DepositState

log = logging.getLogger(__name__)

#: Of one order at a time, and coins of one transaction: who pays with more has a look for the next ones.
_MOST_ASKED: Final = 3
_MOST_COINS: Final = 200


def look(order: ChannelOrder) -> None:
    """Who has paid the order's deposits is recorded, as far as the chain source tells it now. Repeat: safe.

    The biggest first: nobody hides one behind many small ones.
    """
    if chain.node() is None:
        return
    rows = OnchainPayment.objects.filter(order=order.pk, payers__isnull=True).exclude(state=DepositState.VANISHED)
    by_txid: dict[str, OnchainPayment] = {}
    for row in rows.order_by("-amount_sat"):
        by_txid.setdefault(row.txid, row)
    for row in list(by_txid.values())[:_MOST_ASKED]:
        _look_at(row)


def are_awaited(order: ChannelOrder) -> bool:
    """What counts does not pay the order without deposits of which nobody knows yet who has paid them."""
    rows = [row for row in order.onchain_payments.all() if row.state != DepositState.VANISHED]
    known = told(order, rows)
    return len(known) < len(rows) and serving.deep_sat(order, known) < order.order_total_sat


def told(order: ChannelOrder, rows: Sequence[OnchainPayment]) -> Sequence[OnchainPayment]:
    """Those of the order's deposits of which it is known who has paid them, or nobody waits for that (any more).

    Where somebody is listed as a payer it is waited for until a deposit is final, and no longer: money waits for no
    answer that may never come.
    """
    if chain.node() is None or all(row.payers is not None for row in rows) or not serving.standing(BanKind.PAYER):
        return rows
    height = order.lsp_node.deposits_height or 0
    return [row for row in rows if row.payers is not None or row.depth(height) >= settings.FINAL_DEPTH_BLOCKS]


def _look_at(row: OnchainPayment) -> None:
    points = [(point.txid, point.index) for point in map(Outpoint.parse, row.inputs[:_MOST_COINS])]

    def asked(node: ChainNode) -> dict[tuple[str, int], str | None]:
        try:
            return node.scripts(points, in_time())
        except Unreadable as error:
            log.info("deposit=%s who has paid it cannot be read: %s", row.txid, error)
            return dict.fromkeys(points)

    told = foreseeing.ask(asked)
    if told is None:  # it is away, or busy
        return
    known = sorted({script for script in told.values() if script})
    is_whole = len(row.inputs) == len(points) and all(told.values())
    if known and (is_whole or row.state == DepositState.CONFIRMED):
        OnchainPayment.objects.filter(order=row.order_id, txid=row.txid).update(payers=known)
