"""The node's wallet, read whole, and which of its transactions are whose. Nothing is written here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final
from uuid import UUID

from lightning.node import LndNode
from lightning.types import ChainTransaction, Outpoint
from orders import marks
from orders.models import SHAPING, ChannelOpening, ChannelOrder, TransactionKind, WalletTransaction
from orders.states import OpeningState, TransactionState


class Category(StrEnum):
    """Why a transaction moved coins of the wallet."""

    DEPOSIT = "deposit"
    FUNDING = "funding"
    CONFLICT = "conflict"
    REFUND = "refund"
    SHAPING = "shaping"
    #: What the node makes by itself for what is ours.
    CHILD = "child"
    CLOSE = "close"
    SWEEP = "sweep"
    #: Of ours, and nobody looks any more what becomes of it.
    WRITTEN_OFF = "written_off"
    #: A person has sent an order's money back, and said so in the label.
    BY_HAND = "returned_by_hand"
    #: It has a label of ours, and no row.
    ASTRAY = "astray"
    #: Of other software at the same node, or of a person.
    NOT_OURS = "not_ours"


#: What the wallet alone tells of.
FOUND: Final = frozenset({Category.CHILD, Category.CLOSE, Category.SWEEP, Category.WRITTEN_OFF})
#: No entry is to be found for these.
NOT_BOOKED: Final = frozenset({Category.BY_HAND, Category.NOT_OURS})
_OF_KIND: Final = {
    TransactionKind.FUNDING: Category.FUNDING,
    TransactionKind.CONFLICT: Category.CONFLICT,
    TransactionKind.REFUND: Category.REFUND,
    TransactionKind.SPLIT: Category.SHAPING,
    TransactionKind.CONSOLIDATION: Category.SHAPING,
}
_MOST_READS: Final = 3
#: LND's word for a transaction that somebody has had the wallet send.
_EXTERNAL: Final = "external"
#: A close that moves nothing: the channel never was.
NEVER_WAS: Final = frozenset({"abandoned", "funding_canceled"})


@dataclass(frozen=True, slots=True)
class Moved:
    """A transaction of the wallet, what it brought or took, and why."""

    transaction: ChainTransaction
    category: Category
    delta_sat: int
    order_id: UUID | None = None
    #: What it paid to orders' addresses.
    deposited_sat: int = 0

    @property
    def txid(self) -> str:
        """Its id."""
        return self.transaction.txid

    @property
    def should_sat(self) -> int:
        """What the books are to have of it."""
        if self.category in NOT_BOOKED:
            return 0
        return self.deposited_sat if self.category is Category.DEPOSIT else self.delta_sat


@dataclass(frozen=True)
class Wallet:
    """What the node says, as it was read."""

    transactions: tuple[ChainTransaction, ...]
    #: The coins that can be spent or are leased, and those of imported keys, which are not our wallet's.
    coins: Mapping[Outpoint, int]
    foreign: frozenset[Outpoint]
    height: int
    #: Nothing moved while it was read.
    is_steady: bool = True

    @cached_property
    def owned(self) -> dict[Outpoint, int]:
        """Every output that ever was the wallet's."""
        return {
            Outpoint(tx.txid, output.index): output.amount_sat
            for tx in self.transactions
            for output in tx.outputs
            if output.ours
        }

    @cached_property
    def worth(self) -> dict[Outpoint, int]:
        """What any output of its transactions is worth, the wallet's or not."""
        return {Outpoint(tx.txid, each.index): each.amount_sat for tx in self.transactions for each in tx.outputs}

    @cached_property
    def spent(self) -> set[Outpoint]:
        """What any of its transactions spends."""
        return {outpoint for tx in self.transactions for outpoint in tx.inputs}

    def delta_sat(self, transaction: ChainTransaction) -> int:
        """What it brought to the wallet, less what it took."""
        brought = sum(output.amount_sat for output in transaction.outputs if output.ours)
        return brought - sum(self.owned.get(outpoint, 0) for outpoint in transaction.inputs)

    @property
    def unmined(self) -> int:
        """How many are in no block: of two rivals each spends the same coin, so nothing adds up meanwhile."""
        return sum(not tx.confirmations for tx in self.transactions)

    @property
    def difference_sat(self) -> int:
        """How much more the wallet lists than its transactions leave of it."""
        left = {outpoint for outpoint in self.owned if outpoint not in self.spent} - self.foreign
        listed = {outpoint for outpoint in self.coins if outpoint not in self.spent} - self.foreign
        return sum(self.coins[each] for each in listed) - sum(self.owned[each] for each in left)


def read(node: LndNode) -> Wallet:
    """All of it, from the first transaction on: again where something moved meanwhile. Raises: NodeUnavailable."""
    for _ in range(_MOST_READS):
        found = _read(node)
        if found.is_steady:
            break
    return found


def _read(node: LndNode) -> Wallet:
    height = node.info().block_height  # before the list: closes are as deep at least
    transactions = node.transactions(from_height=0)
    coins = {coin.outpoint: coin.amount_sat for coin in node.coins(min_confirmations=0)}
    coins |= {lease.outpoint: lease.amount_sat for lease in node.leases()}
    foreign = frozenset(coin.outpoint for coin in node.foreign_coins(node.coins(min_confirmations=0)))
    known = {(tx.txid, tx.block_hash) for tx in transactions}
    is_steady = all((tx.txid, tx.block_hash) in known for tx in node.transactions(from_height=height))
    return Wallet(transactions, coins, foreign, height, is_steady)


def sorted_out(wallet: Wallet) -> list[Moved]:
    """Each transaction with its category, as our rows and labels have it. In as many statements for any number."""
    rows = _Rows(wallet)
    return [_moved(wallet, transaction, rows) for transaction in wallet.transactions]


class _Rows:
    """What we know of the wallet's transactions."""

    def __init__(self, wallet: Wallet) -> None:
        ours = WalletTransaction.objects.values_list("txid", "kind", "state", "label", "change_index", "bumped_at")
        self.kinds: dict[str, tuple[Category, UUID | None]] = {}
        #: Change of what was to be bumped: a child spends it.
        self.bumped: dict[Outpoint, UUID | None] = {}
        conflicting = ChannelOpening.objects.filter(state=OpeningState.CONFLICTING)
        followed = set(conflicting.values_list("order_id", flat=True))
        for txid, kind, state, label, change_index, bumped_at in ours:
            order_id = _order_of(label, TransactionKind(kind))
            left = _is_left(TransactionKind(kind), TransactionState(state), is_followed=order_id in followed)
            self.kinds[txid] = (Category.WRITTEN_OFF if left else _OF_KIND[TransactionKind(kind)], order_id)
            if bumped_at is not None and change_index >= 0:
                self.bumped[Outpoint(txid, change_index)] = order_id
        addresses = {output.address for tx in wallet.transactions for output in tx.outputs if output.ours}
        orders = ChannelOrder.objects.filter(deposit_address__in=addresses)
        self.addresses: dict[str | None, UUID] = dict(orders.values_list("deposit_address", "pk"))
        self.channels, self.closes = _channels()
        self.sweeps = _sweeps(wallet, self.channels, self.closes)


def _is_left(kind: TransactionKind, state: TransactionState, *, is_followed: bool) -> bool:
    """It pays ourselves alone, and nobody looks what becomes of it: mined, it costs all the same."""
    if kind in SHAPING:
        return state == TransactionState.EXCLUDED
    return kind == TransactionKind.CONFLICT and state != TransactionState.DEEP and not is_followed


def _order_of(label: str, kind: TransactionKind) -> UUID | None:
    is_of_order = kind in {TransactionKind.FUNDING, TransactionKind.CONFLICT, TransactionKind.REFUND}
    return marks.order_of_label(label, kind) if is_of_order else None


def _channels() -> tuple[dict[Outpoint, UUID], dict[str, UUID]]:
    """The funding outpoints of the channels that we sold; and the transactions that closed them, as far as known."""
    rows = ChannelOpening.objects.filter(state__in=[OpeningState.PUBLISHED, OpeningState.CONFIRMED])
    channels, closes = dict[Outpoint, UUID](), dict[str, UUID]()
    for txid, index, order_id, closing_txid in rows.values_list(
        "transaction__txid", "output_index", "order_id", "closing_txid"
    ):
        channels[Outpoint(str(txid), int(index or 0))] = order_id
        if closing_txid:
            closes[closing_txid] = order_id
    return channels, closes


def _sweeps(
    wallet: Wallet, channels: Mapping[Outpoint, UUID], closes: Mapping[str, UUID]
) -> dict[str, tuple[Category, UUID]]:
    """The closes of our channels, and what spends an output of one that was not the wallet's: to its last child."""
    found = {txid: (Category.CLOSE, order_id) for txid, order_id in closes.items()}
    for tx in wallet.transactions:
        for outpoint in tx.inputs:
            if outpoint in channels:
                found[tx.txid] = (Category.CLOSE, channels[outpoint])
    grows = True
    while grows:
        grows = False
        for tx in wallet.transactions:
            if tx.txid in found:
                continue
            for outpoint in tx.inputs:
                if outpoint.txid in found and outpoint not in wallet.owned:
                    found[tx.txid], grows = (Category.SWEEP, found[outpoint.txid][1]), True
                    break
    return found


def _moved(wallet: Wallet, tx: ChainTransaction, rows: _Rows) -> Moved:
    delta_sat = wallet.delta_sat(tx)
    category, order_id = _category(wallet, tx, rows)
    paying = [output for output in tx.outputs if output.ours and output.address in rows.addresses]
    deposited_sat = sum(output.amount_sat for output in paying)
    if paying and category in NOT_BOOKED:
        category, order_id = Category.DEPOSIT, rows.addresses[paying[0].address]
    return Moved(tx, category, delta_sat, order_id, deposited_sat)


def _category(wallet: Wallet, tx: ChainTransaction, rows: _Rows) -> tuple[Category, UUID | None]:
    if tx.txid in rows.kinds:
        return rows.kinds[tx.txid]
    if tx.txid in rows.sweeps:
        return rows.sweeps[tx.txid]
    child_of = [outpoint for outpoint in tx.inputs if outpoint in rows.bumped]
    if child_of and _is_to_ourselves(wallet, tx) and tx.label != _EXTERNAL:
        return Category.CHILD, rows.bumped[child_of[0]]
    for kind in (TransactionKind.FUNDING, TransactionKind.CONFLICT):
        if (named := marks.order_of_label(tx.label, kind)) is not None:
            return Category.ASTRAY, named
    sent_back = marks.orders_of_refund(tx.label)
    return (Category.BY_HAND, min(sent_back)) if sent_back else (Category.NOT_OURS, None)


def _is_to_ourselves(wallet: Wallet, tx: ChainTransaction) -> bool:
    return all(output.ours for output in tx.outputs) and all(outpoint in wallet.owned for outpoint in tx.inputs)


def by_category(moved: Iterable[Moved]) -> dict[Category, tuple[int, int]]:
    """How many transactions of each, and what they brought in all. What came beside a deposit is not ours."""
    found: dict[Category, tuple[int, int]] = {}

    def add(category: Category, sat: int, count: int = 1) -> None:
        before = found.get(category, (0, 0))
        found[category] = (before[0] + count, before[1] + sat)

    for each in moved:
        if each.category is Category.DEPOSIT:
            add(each.category, each.deposited_sat)
            if each.delta_sat != each.deposited_sat:
                add(Category.NOT_OURS, each.delta_sat - each.deposited_sat)
        else:
            add(each.category, each.delta_sat)
    return found
