"""Two years of a shop, by chance of a seed: orders of every fate with their journal and books, and the forwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

from lightning.types import Forward
from orders.books import saying
from orders.books.saying import Legs
from orders.causes import Cause
from orders.models import (
    Account,
    ChannelOpening,
    ChannelOrder,
    Entry,
    EntryKind,
    Leg,
    OrderEvent,
    Refund,
    WalletTransaction,
)
from orders.states import OpeningState, OrderState, TransactionState
from tests.factories import NodeFactory, ServiceFactory, pubkey, txid

_K = EntryKind
#: What may become of an order, and how often.
FATES = {
    "open": 30, "open on chain": 20, "bumped": 8, "closed": 14, "closed early": 4, "put out and refunded": 4,
    "expired and refunded": 8, "returned": 8, "lost": 2, "not paid for yet": 2,
}  # fmt: skip


@dataclass
class History:
    """All rows, before they are written."""

    chance: Random
    now: datetime
    days: int
    node: Any
    service: Any
    orders: list[ChannelOrder] = field(default_factory=list)
    openings: list[ChannelOpening] = field(default_factory=list)
    transactions: list[WalletTransaction] = field(default_factory=list)
    events: list[OrderEvent] = field(default_factory=list)
    entries: list[tuple[Entry, Legs]] = field(default_factory=list)
    forwards: list[Forward] = field(default_factory=list)
    channels: list[tuple[int, datetime]] = field(default_factory=list)

    def moment(self) -> datetime:
        return self.now - timedelta(microseconds=self.chance.randrange(self.days * 86_400 * 1_000_000))

    def later(self, at: datetime, **span: float) -> datetime:
        """Not after now, and not at once."""
        return min(
            self.now - timedelta(microseconds=1),
            at + timedelta(**span) * self.chance.random() + timedelta(microseconds=1),
        )

    def post(
        self, kind: EntryKind, at: datetime, legs: Legs, order: ChannelOrder | None = None, name: str = ""
    ) -> None:
        reference = f"{kind}:{name or len(self.entries)}:{len(self.entries)}#1"
        row = Entry(order=order, node=self.node, at=at, kind=kind, reference=reference, txid=name)
        if any(legs.values()):
            self.entries.append((row, {account: msat for account, msat in legs.items() if msat}))

    def write(self) -> None:
        ChannelOrder.objects.bulk_create(self.orders, batch_size=2_000)
        WalletTransaction.objects.bulk_create(self.transactions, batch_size=2_000)
        ChannelOpening.objects.bulk_create(self.openings, batch_size=2_000)
        OrderEvent.objects.bulk_create(self.events, batch_size=2_000)
        Entry.objects.bulk_create([entry for entry, _ in self.entries], batch_size=2_000)
        Leg.objects.bulk_create(
            [
                Leg(entry=entry, account=account, amount_msat=msat)
                for entry, legs in self.entries
                for account, msat in legs.items()
            ],
            batch_size=5_000,
        )


def happen(seed: int, orders: int, *, days: int = 730, forwards: int = 0, now: datetime | None = None) -> History:
    """So many orders have been; the node has passed on so much, which is for the caller to have read."""
    now = now or datetime(2026, 3, 5, 17, 20, 30, 123_456, tzinfo=UTC)
    history = History(Random(seed), now, days, NodeFactory(), ServiceFactory())
    fates = history.chance.choices(list(FATES), list(FATES.values()), k=orders)
    for number, fate in enumerate(fates):
        _live(history, number, fate)
    for number in range(max(1, orders // 100)):
        _besides(history, number)
    history.write()
    history.forwards = sorted(_passed(history, forwards), key=lambda each: each.at_ns)
    return history


def _live(history: History, number: int, fate: str) -> None:
    at = history.moment()
    order = _order(history, fate, at)
    rail = "onchain" if fate in {"open on chain", "put out and refunded", "expired and refunded"} else "lightning"
    order.counted_payment = rail
    _come(history, order, rail, at)
    if fate == "returned":
        back = {Account.REFUNDED: -order.order_total_sat * 1000, Account.GIVEN: order.order_total_sat * 1000}
        held = {Account.LIGHTNING: -order.order_total_sat * 1000, Account.BUYERS_HELD: order.order_total_sat * 1000}
        history.post(_K.PAYMENT, history.later(at, hours=6), saying.together(back, held), order)
        return
    if fate == "put out and refunded":
        history.post(_K.FEE, history.later(at, hours=6), _fee(history), order, txid(f"conflict {number}"))
    if "refunded" in fate:
        _refund(history, order, history.later(at, days=2), "expired", order.order_total_sat)
        return
    opened = history.later(at, hours=8)
    _open(history, order, number, opened, fate, rail)


def _order(history: History, fate: str, at: datetime) -> ChannelOrder:
    fee, push = history.chance.randrange(3_000, 90_000), history.chance.choice([0, 50_000])
    state = {"returned": "refunded", "closed": "closed", "closed early": "closed"}.get(fate, "open")
    if "refunded" in fate:
        state = "refunded"
    order = ChannelOrder(
        id=UUID(int=history.chance.getrandbits(128), version=4), created_at=at, created_height=800, state=state,
        lsp_node=history.node, service=history.service, lsp_balance_sat=history.chance.randrange(100_000, 16_000_000),
        client_balance_sat=push, channel_expiry_blocks=6_048, base_fee_sat=fee, lease_fee_sat=0, open_fee_sat=0,
        close_fee_sat=0, floor_fee_sat=0, fee_total_sat=fee, fee_budget_sat=fee, order_total_sat=fee + push,
        quoted_sat_per_kw=2_500, expires_at=at + timedelta(hours=1), paid_at=at, version=1,
        node_pubkey=pubkey(1) if state in {"open", "closed"} else "",
    )  # fmt: skip
    history.orders.append(order)
    return order


def _come(history: History, order: ChannelOrder, rail: str, at: datetime) -> None:
    msat = order.order_total_sat * 1000
    if rail == "onchain":
        history.post(_K.DEPOSIT, at, {Account.WALLET: msat, Account.BUYERS_ONCHAIN: -msat}, order)
    else:
        history.post(_K.PAYMENT, at, {Account.LIGHTNING: msat, Account.BUYERS_HELD: -msat}, order)


def _open(history: History, order: ChannelOrder, number: int, at: datetime, fate: str, rail: str) -> None:
    push_sat, fee = order.client_balance_sat, _fee(history)
    transaction = WalletTransaction(
        kind="funding", state=TransactionState.DEEP, label=f"funding:{order.pk}", txid=txid(f"funding {number}"),
        psbt=b"", raw=b"", inputs=[], lock_id=b"", fee_sat=fee[Account.CHAIN_FEES] // 1000, created_at=at,
        published_at=at,
    )  # fmt: skip
    history.transactions.append(transaction)
    scid = (700_000 + number) << 40 | 1 << 16
    history.channels.append((scid, at))
    history.openings.append(
        ChannelOpening(
            order=order, attempt=1, state=OpeningState.CONFIRMED, created_at=at, changed_at=at, pending_chan_id=b"",
            node_pubkey=order.node_pubkey, announced=True, capacity_sat=order.capacity_sat, push_sat=push_sat,
            transaction=transaction, output_index=0, short_channel_id=f"{700_000 + number}x1x0",
        )
    )  # fmt: skip
    history.post(_K.FEE, at, fee, order, transaction.txid)
    legs = saying.of_opening(capacity_sat=order.capacity_sat, push_sat=push_sat)
    claim = Account.BUYERS_ONCHAIN if rail == "onchain" else Account.BUYERS_HELD
    if fate == "lost":
        gone = {Account.LIGHTNING: -order.order_total_sat * 1000, Account.BUYERS_HELD: order.order_total_sat * 1000}
        legs = saying.together(legs, saying.of_loss(push_sat=push_sat), gone)
    elif fate != "not paid for yet":
        legs = saying.together(legs, saying.of_sale(claim, fee_total_sat=order.fee_total_sat, push_sat=push_sat))
    history.post(_K.OPENING, at, legs, order, transaction.txid)
    order.opened_at = usable = history.later(at, hours=2)
    is_sold = fate not in {"lost", "not paid for yet"}
    _journal(history, order, OrderState.OPENING, Cause.FUNDING_SIGNED, at, {"sold": is_sold})
    _journal(history, order, OrderState.OPEN, Cause.CHANNEL_USABLE, usable, {})
    if fate == "bumped":
        history.post(_K.CHILD, history.later(at, days=1), _fee(history), order, txid(f"child {number}"))
    if fate.startswith("closed"):
        _close(history, order, number, usable, early=fate == "closed early")


def _close(history: History, order: ChannelOrder, number: int, at: datetime, *, early: bool) -> None:
    order.closed_at = at = history.later(at, days=5 if early else 400)
    ours_msat = order.lsp_balance_sat * 1000
    cost, gone = history.chance.randrange(200, 9_000) * 1000, history.chance.choice([0, 0, ours_msat // 3000 * 1000])
    brought = ours_msat - cost - gone
    legs = {Account.WALLET: brought, Account.CLOSE_COSTS: cost, Account.CHANNELS: -brought - cost}
    history.post(_K.CLOSE, at, legs, order, txid(f"close {number}"))
    history.post(_K.ENDED, history.later(at, days=1), {Account.CHANNELS: -gone, Account.LIGHTNING: gone}, order)
    _journal(history, order, OrderState.CLOSED, Cause.CHANNEL_CLOSED, at, {})
    if early:
        _refund(history, order, history.later(at, days=3), "closed_early", order.fee_total_sat)


def _refund(history: History, order: ChannelOrder, at: datetime, cause: str, amount_sat: int) -> None:
    """Due, and in a block later, if that is not to come yet."""
    row = Refund(
        order=order, cause=cause, amount_sat=amount_sat, fee_sat=history.chance.randrange(100, 2_500), state="due"
    )
    due = saying.of_refund(row)
    history.post(_K.REFUND, at, due, order)
    mined = history.later(at, days=3)
    if mined < history.now - timedelta(hours=1):
        row.refunded_at = mined
        history.post(_K.REFUND, mined, saying.difference(due, saying.of_refund(row)), order, txid(uuid4()))


def _besides(history: History, number: int) -> None:
    """Coins are split; a person corrects what the books have of somebody's transaction."""
    history.post(_K.FEE, history.moment(), _fee(history), None, txid(f"split {number}"))
    if number % 10 == 0:
        by = history.chance.randrange(-900, 900) * 1000
        order = history.chance.choice([None, history.orders[number]])
        history.post(
            _K.CORRECTION,
            history.moment(),
            {Account.WALLET: by, Account.LOSSES: -by},
            order,
            txid(f"corrected {number}"),
        )


def _fee(history: History) -> Legs:
    msat = history.chance.randrange(300, 30_000) * 1000
    return {Account.WALLET: -msat, Account.CHAIN_FEES: msat}


def _journal(
    history: History, order: ChannelOrder, state: OrderState, cause: Cause, at: datetime, facts: dict[str, Any]
) -> None:
    order.version += 1
    history.events.append(
        OrderEvent(order=order, version=order.version, at=at, actor="lsp", cause=cause, to_state=state, facts=facts)
    )


#: Channels that our node has, and has sold to nobody.
ELSEWHERE = [650_000 << 40 | 7 << 16 | 1, 650_001 << 40 | 3 << 16]


def _passed(history: History, forwards: int) -> Iterable[Forward]:
    """Between any two channels; some at the same nanosecond, and some alike in all but that."""
    chance = history.chance
    for number in range(forwards):
        ends = [chance.choice(history.channels)[0] if chance.random() < 0.7 else chance.choice(ELSEWHERE) for _ in "io"]
        at_ns = int(history.moment().timestamp()) * 10**9 + chance.randrange(10**9)
        out_msat = chance.randrange(1_000, 400_000_000)
        each = Forward(at_ns, ends[0], ends[1], out_msat + chance.randrange(0, 90_000), out_msat, number, number)
        yield each
        if number % 50 == 0:  # of a version that kept no numbers: alike in all
            old = Forward(at_ns, ends[1], ends[0], each.in_msat, out_msat, None, None)
            yield from (old, old)
