"""Who has paid a deposit: the scripts of the coins it spends, asked of the chain source, where one is set.

A coin tells its script for as long as it is unspent in blocks, which it is until the deposit is in one itself. So this
is asked while the deposit waits; afterwards only a node that keeps an index of transactions can tell.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from uuid import UUID

from django.conf import settings

from chain import connection as chain
from chain.errors import ChainUnavailable, Unreadable
from chain.node import ChainNode, in_time
from chain.reading import Point
from lightning.types import Outpoint
from orders import serving
from orders.barring import Asked, BanKind
from orders.causes import FlagKind
from orders.flags import raise_flag
from orders.models import ChannelOrder, OnchainPayment
from orders.models.order import Rail
from orders.payments.onchain import foreseeing
from orders.states import DepositState, OrderState

log = logging.getLogger(__name__)

#: Of one order at a time: who pays with more has a look for the next ones.
_MOST_ASKED: Final = 3
#: So many coins of a transaction in one question: all of them are asked about, and a block has room for 25,000.
_AT_ONCE: Final = 100
#: An order whose look had too little time is asked about no sooner than that by the same process.
_PAUSE_SECONDS: Final = 120.0
_MOST_PAUSED: Final = 1000
_pauses: Final[dict[UUID, float]] = {}
#: Who has paid such an order can still keep it from being delivered.
_UNDELIVERED: Final = frozenset(
    {OrderState.CREATED, OrderState.PAID, OrderState.URI_SET, OrderState.GIVE_UP, OrderState.EXPIRED}
)


@dataclass(slots=True)
class _Look:
    """All questions of one look at one order have the time of one together: a stranger chooses how many they are."""

    until: float = field(default_factory=in_time)
    #: The source has answered one of them: that the rest takes long is the deposits' doing.
    is_answered: bool = False
    #: It is away, or busy.
    is_cut: bool = False

    @property
    def is_late(self) -> bool:
        return time.monotonic() >= self.until


def look(order: ChannelOrder) -> bool:
    """Who has paid the order's deposits is recorded, as far as the chain source tells it now; whether that was news.

    The biggest first: nobody hides one behind many small ones. A buyer may replace what he has paid with, and somebody
    else pay then: so it is asked until the order is past the point of no return. What is not told in time stays
    unknown, and is asked about again after a pause. Repeat: safe.
    """
    if chain.node() is None or order.state not in _UNDELIVERED or order.counted_payment == Rail.LIGHTNING:
        return False
    unknown = [row for row in _there(order) if row.payers is None]
    if not unknown or _pauses.get(order.pk, 0) > time.monotonic():
        return False
    by_txid: dict[str, OnchainPayment] = {}
    for row in sorted(unknown, key=lambda row: -row.amount_sat):
        by_txid.setdefault(row.txid, row)
    asking = _Look()
    news = [_look_at(row, asking) for row in list(by_txid.values())[:_MOST_ASKED]]
    if asking.is_late and not asking.is_cut:  # where it is away the source has a pause of its own
        _pause(order.pk)
    return any(news)


def _pause(order_id: UUID) -> None:
    if len(_pauses) >= _MOST_PAUSED:
        _pauses.clear()
    _pauses[order_id] = time.monotonic() + _PAUSE_SECONDS


def _there(order: ChannelOrder) -> list[OnchainPayment]:
    return [row for row in order.onchain_payments.all() if row.state != DepositState.VANISHED]


def are_awaited(order: ChannelOrder) -> bool:
    """What counts does not pay the order without deposits of which nobody knows yet who has paid them."""
    if order.state not in _UNDELIVERED:
        return False
    rows = _there(order)
    known = told(order, rows)
    return len(known) < len(rows) and serving.deep_sat(order, known) < order.order_total_sat


def relied_on(order: ChannelOrder, rows: Sequence[OnchainPayment]) -> Sequence[OnchainPayment]:
    """Those of the deposits that may buy the channel: who has paid them is known, and served; once it is delivered all.

    The wallet may go on listing what was replaced, by somebody whom we serve, beside what replaces it.
    """
    return serving.clean(told(order, rows)) if order.state in _UNDELIVERED else rows


def flag_unknown(order: ChannelOrder) -> None:
    """A person is told where deposits count though nobody could tell who has paid them, and payers are listed.

    The caller holds the order's row.
    """
    if chain.node() is None or not serving.standing(BanKind.PAYER):
        return
    unknown = [row for row in _there(order) if row.payers is None]
    known = [row for row in _there(order) if row.payers is not None]
    if unknown and serving.deep_sat(order, known) < order.order_total_sat:
        named = ", ".join(sorted({row.txid[:16] for row in unknown})[:5])
        words = f"Payers are listed, and nobody can tell who has paid {named}: see whether you serve them."
        raise_flag(order, FlagKind.PAYER_UNKNOWN, words)


def told(order: ChannelOrder, rows: Sequence[OnchainPayment]) -> Sequence[OnchainPayment]:
    """Those of the order's deposits of which it is known who has paid them, or nobody waits for that (any more).

    Where somebody is listed as a payer it is waited for until a deposit is final, and no longer: money waits for no
    answer that may never come.
    """
    if chain.node() is None or all(row.payers is not None for row in rows) or not serving.standing(BanKind.PAYER):
        return rows
    height = order.lsp_node.deposits_height or 0
    return [row for row in rows if row.payers is not None or row.depth(height) >= settings.FINAL_DEPTH_BLOCKS]


def _look_at(row: OnchainPayment, asking: _Look) -> bool:
    """Whether it is known since who has paid it: all of them, or one whom we do not serve."""
    told = _told_in_time(row, asking)
    known = sorted({script for script in told if script})
    is_listed = row.state == DepositState.CONFIRMED and serving.objection(Asked(payers=known)) is not None
    if not known or not (all(told) or is_listed):
        return False
    return bool(OnchainPayment.objects.filter(order=row.order_id, txid=row.txid).update(payers=known))


def _told_in_time(row: OnchainPayment, asking: _Look) -> list[str | None]:
    """The scripts of its coins; None for those that nobody tells now."""
    told: list[str | None] = []
    for first in range(0, len(row.inputs), _AT_ONCE):
        if asking.is_cut or asking.is_late:
            return [*told, None]
        points = [Outpoint.parse(text) for text in row.inputs[first : first + _AT_ONCE]]
        pairs = [(point.txid, point.index) for point in points]
        scripts = foreseeing.ask(partial(_scripts, row.txid, pairs, asking))
        if scripts is None:
            asking.is_cut = True
            return []
        told += scripts
    return told


def _scripts(txid: str, points: Sequence[Point], asking: _Look, node: ChainNode) -> list[str | None]:
    try:
        told: list[str | None] = list(node.scripts(points, asking.until).values())
    except Unreadable as error:
        log.info("deposit=%s who has paid it cannot be read: %s", txid, error)
        told = [None for _ in points]
    except ChainUnavailable:
        if not (asking.is_answered and asking.is_late):
            raise
        told = [None for _ in points]
    asking.is_answered = True
    return told
