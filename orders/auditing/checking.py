"""Whether the books add up: with our own rows, and with the node's wallet."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from lightning.node import LndNode
from orders import locks
from orders.auditing import finding, wallet
from orders.auditing.wallet import NOT_BOOKED, Category, Moved
from orders.books import recounting
from orders.books.recounting import Difference
from orders.ids import short
from orders.locks import Lock
from orders.models import Account, BooksCheck, Node, OnchainPayment, WalletTransaction
from orders.states import DepositState, TransactionState
from orders.wallet.looking import as_the_chain_has_them

log = logging.getLogger(__name__)

#: Named of each kind of trouble; the rest is counted.
_MOST: Final = 100
#: A look that found trouble is made again after this.
_AGAIN: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Wrong:
    """A transaction of ours of which the books have another sum than the wallet."""

    txid: str
    category: str
    #: None: the wallet has not got it.
    wallet_sat: int | None
    booked_sat: int


@dataclass(frozen=True, slots=True)
class Held:
    """The books beside the wallet."""

    categories: dict[Category, tuple[int, int]]
    wrong: list[Wrong]
    #: What is not deep yet: in the wallet, and not in the books, or the other way.
    unsettled_sat: int
    #: In no block, or moved while it was read: the coins need not be what the transactions leave.
    unmined: int
    difference_sat: int
    balance_sat: int

    @property
    def adds_up(self) -> bool:
        """Each transaction of ours is as it is booked, and all together leave what the wallet has."""
        return not self.wrong and (bool(self.unmined) or not self.difference_sat)


@dataclass(frozen=True, slots=True)
class Report:
    """What a look at the books found."""

    at: datetime
    differences: list[Difference]
    #: Of all, also of those that are not named.
    differing: int
    unbalanced: list[tuple[str, int | None]]
    uncovered: list[tuple[Any, int]]
    balances: dict[Account, int]
    #: None: the node was not read.
    node: Held | None = field(default=None)

    @property
    def adds_up(self) -> bool:
        """Nothing is missing, and nothing too much."""
        return not self.differences and not self.unbalanced and (self.node is None or self.node.adds_up)


def check(node: LndNode | None) -> Report:
    """The books are compared with our rows, and with the node's wallet where there is a node.

    What the wallet alone tells of is booked first. Repeat: safe, at any time. Raises: NodeUnavailable.
    """
    held = _beside_the_wallet(node) if node is not None else None
    differences, differing = recounting.differences(_MOST)
    return Report(
        at=timezone.now(),
        differences=differences,
        differing=differing,
        unbalanced=recounting.unbalanced(_MOST),
        uncovered=recounting.uncovered(_MOST),
        balances=recounting.balances(),
        node=held,
    )


def _beside_the_wallet(node: LndNode) -> Held:
    read = wallet.read(node)
    moved = wallet.sorted_out(read)
    with locks.only_one(Lock.BOOKS) as obtained:
        if obtained:
            finding.book(read, moved, recounting.booked_by_transaction().keys(), node)
            finding.end_channels(read)
    booked = recounting.booked_by_transaction()
    differing = [each for each in moved if booked.get(each.txid, 0) != each.should_sat]
    deep = [each for each in differing if each.transaction.confirmations >= _depth_asked(each) and _is_read(each)]
    checked = as_the_chain_has_them(node, [each.transaction for each in deep])
    in_the_chain = {transaction.txid for transaction in checked if transaction.confirmations}
    wrong = [_wrong(each, booked) for each in deep if each.txid in in_the_chain]
    listed = {each.txid for each in moved}
    missing = {txid: sat for txid, sat in booked.items() if txid and sat and txid not in listed}
    gone = _gone_for_good(missing)
    wrong += [Wrong(txid, "missing", None, missing[txid]) for txid in sorted(gone)]
    told = {each.txid for each in wrong}
    unsettled = [each.should_sat - booked.get(each.txid, 0) for each in differing if each.txid not in told]
    unsettled += [-sat for txid, sat in missing.items() if txid not in told]
    return Held(
        categories=wallet.by_category(moved),
        wrong=wrong[:_MOST],
        unsettled_sat=sum(unsettled),
        unmined=read.unmined or int(not read.is_steady),
        difference_sat=read.difference_sat,
        balance_sat=sum(sat for outpoint, sat in read.coins.items() if outpoint not in read.spent),
    )


def _is_read(moved: Moved) -> bool:
    """A deposit may be deep and unknown to us: while nothing of ours ran, nobody has read it."""
    if moved.category != Category.DEPOSIT:
        return True
    return Node.objects.filter(deposits_height__gte=moved.transaction.block_height).exists()


def _depth_asked(moved: Moved) -> int:
    """From where on it must be in the books: what costs us only once it is deep may be so since a moment ago."""
    final: int = settings.FINAL_DEPTH_BLOCKS
    return 2 * final if moved.category in {Category.CONFLICT, Category.SHAPING} else final


def _wrong(moved: Moved, booked: Mapping[str, int]) -> Wrong:
    return Wrong(moved.txid, moved.category.value, moved.should_sat, booked.get(moved.txid, 0))


def _gone_for_good(missing: Mapping[str, int]) -> set[str]:
    """Those that our records call deep, and the wallet has not got: no reorganisation takes such back."""
    ours = WalletTransaction.objects.filter(txid__in=missing, state=TransactionState.DEEP)
    deep = OnchainPayment.objects.filter(
        txid__in=missing, state=DepositState.CONFIRMED, confirmations__gte=settings.FINAL_DEPTH_BLOCKS
    )
    return {*ours.values_list("txid", flat=True), *deep.values_list("txid", flat=True)}


# Told and kept


def remember(report: Report) -> BooksCheck:
    """What was found is what doctor, alerts and the admin tell of from now on."""
    if not report.adds_up:
        log.error("the books do not add up: %s", words(report))
    return BooksCheck.objects.create(
        at=report.at, adds_up=report.adds_up, words=words(report)[:300], facts=facts(report, whole_ids=False)
    )


def is_time(now: datetime) -> bool:
    """The last look is as old as `BOOKS_CHECK_SECONDS`, or found trouble an hour ago."""
    last = BooksCheck.objects.first()
    if last is None or last.at > now:
        return True
    wait = timedelta(seconds=settings.BOOKS_CHECK_SECONDS)
    return last.at + (wait if last.adds_up else min(wait, _AGAIN)) <= now


def words(report: Report) -> str:
    """In a sentence."""
    told = []
    if report.differing:
        named = ", ".join(sorted({_of(each) for each in report.differences})[:5])
        told.append(f"{report.differing:,} accounts of orders are not as our rows say ({named})")
    if report.unbalanced:
        told.append(f"{len(report.unbalanced):,} entries do not add up")
    if report.node is not None:
        told += _words_of(report.node)
    if told:
        return "; ".join(told)
    return "they add up with our rows" + (" and with the wallet" if report.node else "; the wallet was not read")


def _words_of(held: Held) -> list[str]:
    told = []
    if held.wrong:
        named = ", ".join(each.txid[:16] for each in held.wrong[:3])
        told.append(f"{len(held.wrong):,} transactions are not in the books as in the wallet ({named})")
    if held.difference_sat and not held.unmined:
        told.append(f"the wallet has {held.difference_sat:+,} sat beside what its transactions leave")
    return told


def _of(difference: Difference) -> str:
    order = short(difference.order_id) if difference.order_id else "of no order"
    return f"{order} by {difference.by_msat // 1000:+,} sat in {difference.account}"


def facts(report: Report, *, whole_ids: bool) -> dict[str, Any]:
    """For machines. Who knows a paid order's id may claim it: whole only for who asks at the server itself."""

    def named(order_id: Any) -> str | None:
        return None if order_id is None else str(order_id) if whole_ids else short(order_id)

    return {
        "at": report.at.isoformat(),
        "adds_up": report.adds_up,
        "words": words(report),
        "balances_msat": {account.value: msat for account, msat in report.balances.items()},
        "differing": report.differing,
        "differences": [
            {
                "order": named(each.order_id),
                "account": each.account,
                "said_msat": each.said_msat,
                "booked_msat": each.booked_msat,
            }
            for each in report.differences
        ],
        "unbalanced": [{"entry": reference, "msat": msat} for reference, msat in report.unbalanced],
        "uncovered": [{"order": named(order_id), "msat": msat} for order_id, msat in report.uncovered],
        "node": _facts_of(report.node) if report.node else None,
    }


def _facts_of(held: Held) -> dict[str, Any]:
    return {
        "adds_up": held.adds_up,
        "balance_sat": held.balance_sat,
        "difference_sat": held.difference_sat,
        "unmined": held.unmined,
        "unsettled_sat": held.unsettled_sat,
        "categories": {
            category.value: {"transactions": count, "sat": sat, "booked": category not in NOT_BOOKED}
            for category, (count, sat) in held.categories.items()
        },
        "wrong": [
            {
                "txid": each.txid,
                "category": each.category,
                "wallet_sat": each.wallet_sat,
                "booked_sat": each.booked_sat,
            }
            for each in held.wrong
        ],
    }
