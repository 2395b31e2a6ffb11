"""Whether a deposit in no block will be in one: asked of the chain source, where one is set, and recorded.

It waits for nobody for long, and of a process's threads one at a time: whatever is wrong with the source, a deposit is
then as it is without one.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache, partial
from typing import Final, TypeVar
from uuid import UUID

from django.db.models import Count, F, Min, Q, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from chain import connection as chain
from chain.errors import ChainError, ChainUnavailable, Unreadable
from chain.node import MOST_INPUTS, PATIENCE_SECONDS, ChainNode, in_time
from chain.packages import Package
from lightning.types import Outpoint
from orders import queries
from orders.admission import placing
from orders.models import ChannelOrder, NodeSnapshot, OnchainPayment, Reservation
from orders.outage import Outage
from orders.payments.onchain.reserving import has_had_its_time, patience, reserve
from orders.states import DepositState, Firmness, OrderState
from orders.transitions import locked

log = logging.getLogger(__name__)

Told = TypeVar("Told")

#: What was said holds so long: three of the minute's looks may be missed.
_HOLDS: Final = timedelta(seconds=180)
_AGAIN: Final = timedelta(seconds=30)
_SELDOM: Final = timedelta(minutes=10)
#: Of one order at a time: who pays with more transactions waits for their blocks.
_MOST_ASKED: Final = 3
_MOST_NUDGED: Final = 100
#: A source that is so far behind our node knows a mempool of its own.
_BEHIND_BLOCKS: Final = 2


def look(order: ChannelOrder) -> None:
    """The order's coins are kept, or not, as the chain source says of its deposits now. Repeat: safe."""
    now = timezone.now()
    asked = _to_ask(order, now)
    told = _source(os.getpid()).foresees(asked) if asked else {}
    if told or placing.is_coming(order):
        _record(order.pk, told)


def to_look_at() -> set[UUID]:
    """Unpaid orders for whose deposits coins are kept, or may be as soon as the chain source was asked."""
    kept = Reservation.objects.filter(firmness=Firmness.COMING, released_at=None)
    found = set(kept.values_list("order_id", flat=True))
    return found | set(_to_be_asked_about(timezone.now())) if chain.node() else found


def _to_be_asked_about(now: datetime) -> Collection[UUID]:
    deposit = "onchain_payments__"
    unmined = Q(**{f"{deposit}state": DepositState.SEEN})
    ask_at = f"{deposit}ask_at"
    is_time = Q(**{ask_at: None}) | Q(**{f"{ask_at}__lte": now}) | Q(**{f"{ask_at}__gt": now + _SELDOM})
    seen = OnchainPayment.objects.filter(state=DepositState.SEEN).values("order")
    orders = ChannelOrder.objects.filter(state=OrderState.CREATED, pk__in=seen).annotate(
        there_sat=Sum(f"{deposit}amount_sat", filter=~Q(**{f"{deposit}state": DepositState.VANISHED})),
        to_ask=Count(f"{deposit}pk", filter=unmined & is_time),
        last_at=Min(ask_at, filter=unmined),
        first_at=Min(f"{deposit}foreseen_at"),
    )
    in_its_time = Q(first_at=None) | Q(first_at__gt=now - patience())
    orders = orders.filter(in_its_time, there_sat__gte=F("order_total_sat"), to_ask__gt=0)
    return list(orders.order_by(F("last_at").asc(nulls_first=True)).values_list("pk", flat=True)[:_MOST_NUDGED])


def _to_ask(order: ChannelOrder, now: datetime) -> dict[str, bool]:
    """Which transactions are to be asked about, and whether each was foreseen until now."""
    if chain.node() is None:
        return {}
    rows = list(OnchainPayment.objects.filter(order=order.pk))
    if any(row.foreseen_at is not None and has_had_its_time(row.foreseen_at, now) for row in rows):
        return {}
    there = [row for row in rows if row.state != DepositState.VANISHED]
    if sum(row.amount_sat for row in there) < order.order_total_sat:
        return {}
    unmined = [row for row in there if row.state == DepositState.SEEN]
    biggest = sorted(unmined, key=lambda row: -row.amount_sat)
    chosen = list(dict.fromkeys(row.txid for row in biggest))[:_MOST_ASKED]
    return {txid: _is_foreseen(unmined, txid, now) for txid in chosen if _is_time(unmined, txid, now)}


def _is_foreseen(rows: Sequence[OnchainPayment], txid: str, now: datetime) -> bool:
    return any(row.txid == txid and row.foreseen_until is not None and row.foreseen_until > now for row in rows)


def _is_time(rows: Sequence[OnchainPayment], txid: str, now: datetime) -> bool:
    """An hour that a wrong clock wrote is none to wait for."""
    asked = [row.ask_at for row in rows if row.txid == txid]
    return any(at is None or at <= now or at > now + _SELDOM for at in asked)


def _record(order_id: UUID, told: dict[str, bool]) -> None:
    now = timezone.now()
    with locked(order_id) as order:
        for txid, is_foreseen in told.items():
            rows = OnchainPayment.objects.filter(order=order_id, txid=txid, state=DepositState.SEEN)
            if is_foreseen:
                first_at = Coalesce("foreseen_at", now)
                rows.update(ask_at=now + _AGAIN, foreseen_at=first_at, foreseen_until=now + _HOLDS)
            else:
                rows.update(ask_at=now + _pause(rows.first(), now), foreseen_until=None)
        reserve(order)


def _pause(row: OnchainPayment | None, now: datetime) -> timedelta:
    """What does not pay enough is asked about less and less: a stranger sends as many of such as he likes."""
    return _AGAIN if row is None else min(_SELDOM, max(_AGAIN, now - row.seen_at))


class Whereabouts(StrEnum):
    """Where a transaction is that our node has in no block."""

    WAITS = "waits"  # in the mempool, and all its coins are in blocks
    MINED = "mined"  # our node will see that in a moment
    RIVALLED = "rivalled"  # a block has what spends one of its coins
    UNKNOWN = "unknown"  # replaced perhaps, or forgotten, or it spends what is in no block


class Source:
    """The chain source, for all threads of one process: who finds it busy or away does without."""

    def __init__(self) -> None:
        self._outage = Outage(log, "the chain source", first_seconds=5, longest_seconds=60)
        self._asking = threading.Lock()
        self._ask_at = 0.0

    def foresees(self, asked: dict[str, bool]) -> dict[str, bool]:
        """Of each transaction whether it will be in a block; nothing where that cannot be known now."""
        return self._of_now(lambda node, seen: _told(node, seen, asked)) or {}

    def packages(self, txids: Sequence[str]) -> dict[str, Package]:
        """Those that wait in the mempool, with all that they wait for; nothing where nobody can say now."""
        return self._of_now(lambda node, seen: _packages(node, seen, txids)) or {}

    def whereabouts(self, deposits: Sequence[OnchainPayment]) -> dict[str, Whereabouts]:
        """Where each of their transactions is; nothing where nobody can say now."""
        return self._of_now(partial(_whereabouts, deposits), wait_seconds=PATIENCE_SECONDS) or {}

    def _of_now(self, question: Callable[[ChainNode, NodeSnapshot], Told], *, wait_seconds: float = 0) -> Told | None:
        seen = queries.snapshot()
        return self.ask(lambda node: question(node, seen), wait_seconds=wait_seconds) if seen is not None else None

    def ask(self, question: Callable[[ChainNode], Told], *, wait_seconds: float = 0) -> Told | None:
        """Its answer; None where it is not set, busy or away. Raises: what the question raises but ChainUnavailable."""
        node = chain.node()
        is_its_time = time.monotonic() >= self._ask_at
        if node is None or not is_its_time or not self._asking.acquire(timeout=wait_seconds):
            return None
        try:
            told = question(node)
        except ChainUnavailable as problem:
            self._outage.begun(problem)
            self._ask_at = time.monotonic() + self._outage.pause_seconds()
            return None
        finally:
            self._asking.release()
        if self._outage.over():
            log.info("the chain source is back")
        return told


def _told(node: ChainNode, seen: NodeSnapshot, asked: dict[str, bool]) -> dict[str, bool]:
    """As much as is found in the time of one call. Raises: ChainUnavailable."""
    until, told = in_time(), dict[str, bool]()
    _see_whether_it_follows(node, seen, until)
    for txid, was_foreseen in asked.items():
        try:
            told[txid] = _will_confirm(node, seen, txid, was_foreseen, until)
        except ChainUnavailable:
            if time.monotonic() < until:
                raise
            break  # a stranger's transactions take so long, and not the source
    return told


def packages(txids: Sequence[str]) -> dict[str, Package]:
    """As the source's own, of this process."""
    return _source(os.getpid()).packages(txids)


def _packages(node: ChainNode, seen: NodeSnapshot, txids: Sequence[str]) -> dict[str, Package]:
    """What cannot be read is as if it were not there. Raises: ChainUnavailable."""
    until, told = in_time(), dict[str, Package]()
    _see_whether_it_follows(node, seen, until)
    for txid in txids:
        try:
            package = node.package(txid, until=until)
        except Unreadable as error:
            log.info("deposit=%s is not taken in no block: %s", txid, error)
            continue
        if package is not None:
            told[txid] = package
    return told


def whereabouts(deposits: Sequence[OnchainPayment]) -> dict[str, Whereabouts]:
    """As the source's own, of this process."""
    return _source(os.getpid()).whereabouts(deposits) if deposits else {}


def _whereabouts(deposits: Sequence[OnchainPayment], node: ChainNode, seen: NodeSnapshot) -> dict[str, Whereabouts]:
    until = in_time()
    _see_whether_it_follows(node, seen, until)
    return {row.txid: _where(row, node, until) for row in deposits}


def _where(row: OnchainPayment, node: ChainNode, until: float) -> Whereabouts:
    """By the chain alone where the mempool has it not: LND's wallet does not see a rival that pays somebody else."""
    try:
        package = node.package(row.txid, until=until)
        if package is not None:
            return Whereabouts.UNKNOWN if package.ancestors else Whereabouts.WAITS
        spends = [Outpoint.parse(outpoint) for outpoint in row.inputs[:MOST_INPUTS]]
        points = [(row.txid, row.vout), *((outpoint.txid, outpoint.index) for outpoint in spends)]
        itself, *coins = node.unspent_sat(points, until)
    except Unreadable as error:
        log.info("deposit=%s is not to be relied on: %s", row.txid, error)
        return Whereabouts.UNKNOWN
    if itself is not None:
        return Whereabouts.MINED
    return Whereabouts.RIVALLED if None in coins else Whereabouts.UNKNOWN


def _see_whether_it_follows(node: ChainNode, seen: NodeSnapshot, until: float) -> None:
    try:
        behind = seen.block_height - node.height(until=until)
    except ChainError as error:
        raise ChainUnavailable(str(error)) from None
    if time.monotonic() > until - PATIENCE_SECONDS / 2:
        raise ChainUnavailable("it takes long to answer")
    if behind > _BEHIND_BLOCKS:
        raise ChainUnavailable(f"it is {behind} blocks behind our node")


def _will_confirm(node: ChainNode, seen: NodeSnapshot, txid: str, was_foreseen: bool, until: float) -> bool:
    """Its fee is that of `FUNDING_CONF_TARGET` blocks, or was when it was asked first; what cannot be read is not."""
    try:
        package = node.package(txid, until=until)
    except Unreadable as error:
        log.info("deposit=%s reserves nothing in no block: %s", txid, error)
        return False
    return package is not None and (was_foreseen or package.pays(seen.estimate_sat_per_kw))


def ask(question: Callable[[ChainNode], Told]) -> Told | None:
    """As `Source.ask`, of this process's."""
    return _source(os.getpid()).ask(question)


@lru_cache(maxsize=1)  # a fork finds out for itself
def _source(_process: int) -> Source:
    return Source()
