"""What must be true where coins are short: who goes, who stays, what is promised, and what orders cost in fees."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from orders import queries
from orders.models import ChannelOrder, OrderEvent, Reservation
from orders.models.order import Rail
from orders.states import InvoiceState, OrderState
from simulator.world import World
from tests.property.refund_truths import in_channel_sat
from tests.property.witness import Told

_WEAK: Final = frozenset({"quoted", "waiting", "held"})
#: A payment that comes in time, or is accepted late, lifts the mark: before the order's row is saved.
_UNPAID: Final = frozenset({"created", "expired"})
_COUNTED: Final = frozenset({"held", "reached", "firm"})


@dataclass(frozen=True)
class Cost:
    """A transaction of an order that is in a block or waits for one."""

    txid: str
    kind: str  # funding, conflict, or the sweep that pays for either
    fee_sat: int


def costs(world: World) -> dict[str, list[Cost]]:
    """By order."""
    chain, wallet = world.chain, world.wallet
    found: dict[str, list[Cost]] = defaultdict(list)
    there = {txid for txid in wallet.labels if txid in chain.mined or txid in chain.mempool}
    for txid in there:
        kind, _, order_id = wallet.labels[txid].partition(":")
        if kind in {"funding", "conflict"}:
            family = [txid, *(child for point, child in wallet.children.items() if point[0] == txid and child in there)]
            kinds = [kind, *["sweep"] * (len(family) - 1)]
            found[order_id] += [Cost(*each, chain.fee_sat(each[0])) for each in zip(family, kinds, strict=True)]
    return found


def check_who_goes(told: list[Told]) -> None:
    """Whoever is told to go has paid nothing, or can have it back; and no mark is lifted but by a payment."""
    for each in told:
        if each.lifted:
            assert each.state in _UNPAID, f"the mark was lifted: {each}"
        elif each.is_eviction:
            assert each.firmness in _WEAK, f"was {each.firmness} and told to go: {each}"
            assert not each.opens, f"was being opened and told to go: {each}"
            assert each.rail != Rail.ONCHAIN, f"was paid on chain and told to go: {each}"
            assert each.firmness != "quoted" or not each.has_deposits, f"had deposits and was told to go: {each}"


def check_promises() -> None:
    """What is promised is what live orders hold, each by what it is itself; what is firm was not told to go."""
    seen = queries.snapshot()
    if seen is None:
        return
    promised_sat = 0
    for row in Reservation.objects.select_related("order").filter(released_at=None):
        assert not (row.firmness == "firm" and row.is_going), f"{row.order} is firm and was told to go"
        is_leased = row.leased_at is not None and row.leased_at < seen.at
        if row.firmness in _COUNTED and not row.is_going and not is_leased:
            promised_sat += row.order.capacity_sat + row.order.open_fee_sat + in_channel_sat(row.order)
    assert queries.promised_sat(seen) == promised_sat, (
        f"{queries.promised_sat(seen)} sat, and orders hold {promised_sat}"
    )


def check_budgets(spent: dict[str, list[Cost]]) -> None:
    """No order has cost more in chain fees than it was sold for; what safety asked for beyond it has its name."""
    named = {event.facts["txid"] for event in OrderEvent.objects.filter(cause="conflict_over_budget").only("facts")}
    for order in ChannelOrder.objects.filter(pk__in=spent):
        mine = [cost for cost in spent[str(order.pk)] if cost.txid not in named]
        total_sat = sum(cost.fee_sat for cost in mine)
        assert total_sat <= order.fee_budget_sat, f"{order} has a fee budget of {order.fee_budget_sat} sat: {mine}"


def check_gone() -> None:
    """Everything works, and everybody was looked at: no mark stands."""
    assert not queries.giving_way(), f"told to go, and still there: {queries.giving_way()}"


def check_back(told: list[Told]) -> None:
    """At rest: who was told to go while his payment was held has it back, and who was quoted has nothing."""
    orders = {order.pk: order for order in ChannelOrder.objects.select_related("hold_invoice")}
    for each in told:
        if each.is_eviction and each.invoice == InvoiceState.HELD:
            order = orders[each.order_id]
            ends = (order.state, order.hold_invoice.state)
            assert ends == (OrderState.REFUNDED, InvoiceState.CANCELLED), f"{order} was told to go, and is {ends}"
