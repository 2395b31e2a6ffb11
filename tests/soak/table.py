"""What became of all orders, in lines to read; and what must not be."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tests.regtest.payment import FAILED, SUCCEEDED
from tests.soak.buyers import Purchase
from tests.soak.world import World

_ENDS = ("open", "refunded", "expired", "other")
_SENT_BACK = """
SELECT o.id::text, coalesce(sum(r.amount_sat - r.fee_sat) FILTER (WHERE r.state = 'done'), 0),
       coalesce(sum(r.fee_sat) FILTER (WHERE r.state = 'done'), 0),
       coalesce(sum(r.amount_sat) FILTER (WHERE r.state = 'kept'), 0)
FROM orders_channelorder o LEFT JOIN orders_refund r ON r.order_id = o.id GROUP BY o.id
"""


def states(world: World) -> dict[str, str]:
    return dict(world.server.rows("SELECT id::text, state FROM orders_channelorder"))


def lines(world: World, purchases: Sequence[Purchase]) -> Iterator[str]:
    """A table in Markdown: a row for each fate."""
    state_of = states(world)
    back = {order: amounts for order, *amounts in world.server.rows(_SENT_BACK)}
    ends: dict[str, Counter[str]] = defaultdict(Counter)
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for purchase in purchases:
        state = state_of.get(purchase.order_id, "other")
        ends[purchase.fate][state if state in _ENDS else "other"] += 1
        for number, amount in enumerate(back.get(purchase.order_id, ())):
            sums[purchase.fate][number] += int(amount)
    yield "| fate | orders | " + " | ".join(_ENDS) + " | sent back, sat | its fees | kept |"
    yield "|---|" + "---:|" * (4 + len(_ENDS))
    for fate in sorted(ends):
        counts = [ends[fate].total(), *(ends[fate][end] for end in _ENDS), *sums[fate]]
        yield f"| {fate.replace('_', ' ')} | " + " | ".join(f"{count:,}" for count in counts) + " |"
    killed = ", ".join(f"{role} {count}" for role, count in sorted(world.killed.items()))
    yield f"\nkilled: {killed or 'nobody'}"


def troubles(world: World, purchases: Sequence[Purchase]) -> Iterator[str]:
    """What nobody may live to see: a payment taken for nothing, a channel for nothing, a second one, a lost buyer."""
    state_of = states(world)
    for purchase in purchases:
        if purchase.trouble:
            yield f"{purchase.fate} {purchase.order_id}: {purchase.trouble}"
        paid = purchase.payment.status() if purchase.payment else None
        state = state_of.get(purchase.order_id)
        if paid == SUCCEEDED and state != "open":
            yield f"{purchase.fate} {purchase.order_id}: taken for nothing, {state}"
        if paid == FAILED and state == "open" and purchase.fate != "both_ways":
            yield f"{purchase.fate} {purchase.order_id}: a channel for nothing"
    if not any(channel.active for channel in world.network.buyer.channels(world.network.lsp)):
        yield "the buyer's channel is dead: most Lightning payments could not leave, whatever the server did"
    memos = Counter(channel.memo for channel in world.network.lsp.channels() if channel.memo)
    yield from (f"two channels for {memo}" for memo, count in memos.items() if count > 1)
