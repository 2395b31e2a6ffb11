"""What must be true of our records and of the simulated world, after every step and at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from lightning.node import LndNode
from orders import marks, reserved
from orders.auditing import checking
from orders.books import recounting
from orders.causes import Cause, FlagKind
from orders.models import (
    ChannelOpening,
    ChannelOrder,
    OnchainPayment,
    OrderEvent,
    Reservation,
    TransactionKind,
    WalletTransaction,
)
from orders.models.order import Rail
from orders.states import MOVES, DepositState, InvoiceState, OrderState
from simulator import scripts
from simulator.channels import FORCE_CLOSING
from simulator.invoices import Invoice
from simulator.world import World
from tests.property import jit_truths, refund_truths

_DELIVERED: Final = frozenset({OrderState.OPENING, OrderState.OPEN, OrderState.CLOSING, OrderState.CLOSED})
_NOTHING: Final = frozenset({OrderState.REFUNDED, OrderState.EXPIRED, OrderState.GIVE_UP, OrderState.REJECTED})
#: Where only a person, or the buyer, can take an order further.
_WAITS_FOR_STAFF: Final = frozenset({OrderState.PAID, OrderState.GIVE_UP, OrderState.REJECTED, OrderState.URI_SET})
_REST: Final = frozenset({OrderState.OPEN, OrderState.CLOSED, OrderState.REFUNDED, OrderState.EXPIRED})
_FIRMNESS: Final = {
    "created": {"quoted", "coming", "firm"},
    "paid": {"waiting", "held", "firm"},
    "uri_set": {"waiting", "held", "reached", "firm"},
    "give_up": {"waiting", "held", "firm"},
    "opening": {"firm"},
}
#: A hold that the node ended while nobody looked: so many blocks pass between our margin and the node's own.
_NEGLECT_BLOCKS: Final = 54


@dataclass(frozen=True)
class Spend:
    """A mined transaction that spends coins of the wallet's."""

    txid: str
    fee_sat: int
    gone_sat: tuple[int, ...]


@dataclass(frozen=True)
class Facts:
    """The world, as far as orders are concerned."""

    height: int
    fundings: dict[str, list[str]]  # by order: what is labelled so, and is in a block or waits for one
    invoices: dict[str, str]  # stage by payment hash
    settled_msat: dict[str, int]  # by payment hash
    payments: dict[str, list[str]]  # how each payment of an invoice stands, by hash
    channels: dict[str, list[tuple[str, str]]]  # by memo: stage, point
    leased: set[bytes]
    deposits: dict[bytes, int]  # mined, by script
    paid: dict[bytes, list[int]]  # in a block or waiting for one, each output, by script
    spends: list[Spend]
    passed: jit_truths.Passed


def facts(world: World) -> Facts:
    chain, wallet = world.chain, world.wallet
    fundings, channels, payments = defaultdict(list), defaultdict(list), defaultdict(list)
    for txid, label in wallet.labels.items():
        if label.startswith("funding:") and (txid in chain.mined or txid in chain.mempool):
            fundings[label.removeprefix("funding:")].append(txid)
    for channel in world.channels.by_point.values():
        if channel.memo and channel.is_alive:
            channels[channel.memo].append((channel.stage, f"{channel.point[0]}:{channel.point[1]}"))
    for payment in world.invoices.payments.values():
        payments[payment.payment_hash].append(payment.stage)
    deposits: dict[bytes, int] = defaultdict(int)
    paid: dict[bytes, list[int]] = defaultdict(list)
    for txid in [*chain.mined, *chain.mempool]:
        for pk_script, amount_sat in chain.txs[txid].outputs:
            deposits[pk_script] += amount_sat if txid in chain.mined else 0
            paid[pk_script].append(amount_sat)
    return Facts(
        chain.height,
        fundings,
        {hash_: invoice.stage for hash_, invoice in world.invoices.by_hash.items()},
        {hash_: _settled_msat(invoice) for hash_, invoice in world.invoices.by_hash.items()},
        payments,
        channels,
        {lease.lock_id for lease in wallet.active_leases(world.now()).values()},
        deposits,
        paid,
        [_spend(world, txid) for txid in chain.mined if any(p in wallet.owned for p in chain.txs[txid].inputs)],
        jit_truths.facts(world),
    )


def _settled_msat(invoice: Invoice) -> int:
    return sum(htlc.amount_msat for htlc in invoice.htlcs if htlc.stage == "SETTLED")


def _spend(world: World, txid: str) -> Spend:
    tx = world.chain.txs[txid]
    gone = tuple(amount_sat for pk_script, amount_sat in tx.outputs if pk_script not in world.wallet.names)
    return Spend(txid, world.chain.fee_sat(txid), gone)


# After every step


def check_always(seen: Facts) -> None:
    orders = list(ChannelOrder.objects.select_related("hold_invoice"))
    journals: dict[UUID, list[OrderEvent]] = defaultdict(list)
    for event in OrderEvent.objects.order_by("order", "version"):
        journals[event.order_id].append(event)
    for order in orders:
        check_journal(order, journals[order.pk])
        check_money(order, seen)
        refund_truths.check(order, seen.paid, seen.deposits, funded=bool(seen.fundings.get(str(order.pk))))
    check_reservations()
    check_books()
    for event in (each for journal in journals.values() for each in journal):
        assert event.cause != Cause.NEEDS_STAFF or event.facts["kind"] != FlagKind.SERVER_DEFECT, event.facts


def check_reservations() -> None:
    """Their sum is what live orders hold: one for each, of its size, and none for an order that is over."""
    rows = {row.order_id: row for row in Reservation.objects.select_related("order")}
    for order in ChannelOrder.objects.all():
        row = rows.pop(order.pk)
        lives = order.state in {"created", "paid", "uri_set", "give_up", "opening"}
        assert lives == (row.released_at is None), f"{order} is {order.state}, its reservation {row.released_at}"
        added_sat = refund_truths.in_channel_sat(order) if lives else 0
        assert not lives or row.value_sat == order.capacity_sat + order.open_fee_sat + added_sat, f"{order}: {row}"
        assert not lives or row.firmness in _FIRMNESS[order.state], f"{order} is {order.state} and {row}"
        live = order.live_opening
        assert live is None or not lives or row.firmness == "firm", f"{order} has an attempt and is {row}"
        assert live is None or not row.is_going, f"{order} has an attempt and was told to go"
    assert not rows
    assert not reserved.sums_astray()


def check_books() -> None:
    """Each move is in the books as soon as it is made, and no entry is of anything else."""
    differences, _ = recounting.differences()
    assert not differences, f"the books differ from the rows: {differences}"
    assert not recounting.unbalanced()


def check_journal(order: ChannelOrder, journal: list[OrderEvent]) -> None:
    """Without a gap, and each move one that the table allows: so what is over stays over."""
    assert [event.version for event in journal] == list(range(1, order.version + 1)), f"a gap in the journal of {order}"
    state = ""
    for event in journal:
        assert event.from_state == state, (order, event)
        if event.from_state and event.to_state != event.from_state:
            assert OrderState(event.to_state) in MOVES[OrderState(event.from_state)], (order, event)
        state = event.to_state
    assert order.state == state, order


def check_money(order: ChannelOrder, seen: Facts) -> None:
    """At most one funding that can confirm; and what was taken, something was published for."""
    memo = str(order.pk)
    assert len(seen.fundings.get(memo, [])) <= 1, f"two fundings of {memo}: {seen.fundings[memo]}"
    assert len([1 for stage, _ in seen.channels.get(memo, []) if stage == "open"]) <= 1, memo
    if order.is_jit:
        jit_truths.check(order, seen.passed, funded=bool(seen.fundings.get(memo)))
        return
    settled = seen.invoices[order.hold_invoice.payment_hash] == "SETTLED"
    assert not settled or seen.fundings.get(memo), f"{memo} was settled, and no funding is published"
    if order.hold_invoice.state == InvoiceState.SETTLED:
        assert settled and order.state in _DELIVERED, f"{memo} is settled by our records alone: {order.state}"


# At the end


def check_rest(seen: Facts, committed: dict[str, int], waiting: Collection[str] = ()) -> None:
    """Nothing is under way any more; `committed`: the height at which each order was first seen to be OPENING.

    `waiting`: orders that may still be CLOSING, as their channels wait for blocks.
    """
    for order in ChannelOrder.objects.select_related("hold_invoice"):
        if order.state != OrderState.CLOSING or str(order.pk) not in waiting:
            check_at_rest(order, seen)
        check_channel(order, seen)
        if order.is_jit:
            check_passed(order, seen)
            continue
        check_lightning(order, seen, committed)
        check_deposits(order, seen)
        refund_truths.check_rest(order, seen.deposits, seen.leased)
    check_wallet(seen)


def check_books_with_wallet(node: LndNode) -> None:
    """Everything is deep: each transaction of the wallet is booked to the satoshi, or is a stranger's."""
    found = checking.check(node)
    assert found.adds_up, f"the books do not add up: {checking.facts(found, whole_ids=True)}"
    assert found.node is not None
    assert found.node.unmined or (found.node.unsettled_sat, found.node.difference_sat) == (0, 0), found.node


def check_leases(seen: Facts) -> None:
    """Asked long before a forgotten lease runs out by itself."""
    for order in ChannelOrder.objects.filter(state__in=_REST):
        if order.live_opening is None:
            assert marks.lock_id(order.pk) not in seen.leased, f"a coin stays leased for {order} ({order.state})"


def wait_for_blocks(seen: Facts) -> set[str]:
    """The orders whose channels our node has closed by force: the close is mined, and the node's own money not free."""
    return {memo for memo, channels in seen.channels.items() if any(stage == FORCE_CLOSING for stage, _ in channels)}


def check_at_rest(order: ChannelOrder, seen: Facts) -> None:
    waits = order.needs_staff and order.state in _WAITS_FOR_STAFF
    assert order.state in _REST or waits, f"{order} never rests: {order.state} {order.standing}"
    assert order.live_opening is None, f"{order} has a live attempt: {order.live_opening.state}"
    assert marks.lock_id(order.pk) not in seen.leased, f"a coin stays leased for {order} ({order.state})"


def check_lightning(order: ChannelOrder, seen: Facts, committed: dict[str, int]) -> None:
    hash_ = order.hold_invoice.payment_hash
    stage, ours, payments = seen.invoices[hash_], order.hold_invoice.state, seen.payments.get(hash_, [])
    assert (stage, ours) in {("SETTLED", "settled"), ("CANCELED", "cancelled")}, f"{order}: node {stage}, we {ours}"
    assert ("SUCCEEDED" in payments) == (stage == "SETTLED"), f"{order}: {stage}, and payments {payments}"
    taken_msat = seen.settled_msat.get(hash_, 0)
    if taken_msat > order.order_total_sat * 1000:  # two payments in parts can make one that is too much
        booked_sat = order.order_total_sat + refund_truths.in_channel_sat(order) + refund_truths.in_refunds_sat(order)
        is_told = order.needs_staff or booked_sat >= taken_msat // 1000
        assert order.overpaid and is_told, f"{order}: {taken_msat} msat were taken, and nobody is told"
    assert "IN_FLIGHT" not in payments, f"{order}: {payments}"
    if order.state in _NOTHING:
        assert stage == "CANCELED", f"{order} is {order.state}, and its payment was taken"
    if order.state in _DELIVERED and order.counted_payment == Rail.LIGHTNING and stage == "CANCELED":
        neglected = seen.height - committed.get(str(order.pk), seen.height)
        assert order.needs_staff and neglected >= _NEGLECT_BLOCKS, f"{order} was delivered for nothing"


def check_passed(order: ChannelOrder, seen: Facts) -> None:
    payments = seen.payments.get(order.hold_invoice.payment_hash, [])
    jit_truths.check_rest(order, seen.passed, payments, funded=bool(seen.fundings.get(str(order.pk))))


def check_channel(order: ChannelOrder, seen: Facts) -> None:
    channels = seen.channels.get(str(order.pk), [])
    fundings = seen.fundings.get(str(order.pk), [])
    outpoints = [opening.funding_outpoint for opening in order.openings.filter(state="confirmed")]
    if order.state == OrderState.OPEN:
        assert channels == [("open", outpoints[0])], f"{order}: {channels} instead of {outpoints}"
        assert fundings == [outpoints[0].partition(":")[0]]
    elif order.state not in _DELIVERED:
        assert not channels, f"{order} is {order.state} and has {channels}"
        assert not fundings, f"{order} is {order.state} and was funded: {fundings}"


def check_deposits(order: ChannelOrder, seen: Facts) -> None:
    """Our rows say what the chain has at the address; and who delivered for a deposit has it."""
    rows = OnchainPayment.objects.filter(order=order, state=DepositState.CONFIRMED)
    recorded = sum(rows.values_list("amount_sat", flat=True))
    there = seen.deposits.get(scripts.script_of(str(order.deposit_address)), 0)
    assert recorded == there, f"{order}: {there} sat on chain, {recorded} sat recorded"
    waiting = OnchainPayment.objects.filter(order=order, state=DepositState.SEEN)
    assert not waiting, f"{order}: {waiting[0]} is neither mined nor gone"
    if order.counted_payment == Rail.ONCHAIN and order.state in _DELIVERED:
        assert there >= order.order_total_sat, f"{order} was delivered for {there} sat"
    if there and order.state in _NOTHING:
        told = order.needs_staff or there <= refund_truths.accounted_sat(order)
        assert told, f"{there} sat came for {order} ({order.state}), and nobody is told"


def check_wallet(seen: Facts) -> None:
    """Coins leave the wallet for channels of paid orders alone, each of its capacity, at the fee that was recorded."""
    recorded = {row.txid: row for row in WalletTransaction.objects.all()}
    for spend in seen.spends:
        if not spend.gone_sat and spend.txid not in recorded:
            continue  # to ourselves: a bump
        row = recorded[spend.txid]
        if row.kind == TransactionKind.REFUND:
            refund_truths.check_spend(row, spend.fee_sat, spend.gone_sat)
            continue
        assert spend.fee_sat == row.fee_sat, f"{row.label} pays {spend.fee_sat}, {row.fee_sat} was recorded"
        opening = ChannelOpening.objects.filter(transaction=row).select_related("order").first()
        expected = (opening.order.capacity_sat + opening.surplus_sat,) if opening else ()
        assert spend.gone_sat == expected, f"{row.label} pays {spend.gone_sat} away"
        if opening:
            assert opening.order.state in _DELIVERED and opening.order.counted_payment, f"{row.label} was not sold"
