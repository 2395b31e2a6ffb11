"""The figures as tables, for the terminal and for `docs/performance.md`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median

from tests.bench.figures import (
    Asking,
    Beside,
    Level,
    Machine,
    Measured,
    Passes,
    Peers,
    Purchase,
    Reaction,
    Result,
    Share,
    percentile,
)

#: What was noted of a paid order, in the order in which it happens.
STEPS: tuple[tuple[str, Callable[[Reaction], float]], ...] = (
    ("payment recorded", lambda reaction: reaction.recorded),
    ("opening begun (journal)", lambda reaction: reaction.begun),
    ("**OpenChannel sent**", lambda reaction: reaction.sent),
    ("funding published", lambda reaction: reaction.published),
)


def page(result: Result) -> str:
    """The whole page."""
    parts = [
        "# Performance",
        "<!-- Written by `make bench` (python -m tests.bench). -->",
        HOW_TO_READ,
        machine(result.machine),
        *WHAT_IS_MEASURED,
    ]
    for measured in result.nodes:
        parts += section(measured)
    return "\n\n".join(parts) + "\n"


HOW_TO_READ = """\
Read the ratios. Times and rates are those of one machine on one day, with the test network's nodes, the database, the
server and the clients that load it all on that machine; a ratio compares two things measured in the same run, in turn,
so that a slow disk or a busy neighbour weighs on both. Counts (statements, calls, rows) are exact. No test asserts any
of the times. `make bench` measures again and writes this page; `python -m tests.bench --help` has more."""

WHAT_IS_MEASURED = (
    "## What is measured",
    """\
**Orders per second.** `POST /channel/buy` from so many clients at once, each on a connection that it keeps, over the
rate of bare `AddHoldInvoice` + `NewAddress` pairs that as many threads get out of the same node: every order needs one
such pair, so 1.00 would be a server that costs nothing. A bare pair's calls come one after the other, a purchase makes
both at the same time. Bare and bought rounds alternate; medians, and the smallest and largest ratio of one round.
The server runs two web processes, each with four threads for
purchases and four for the rest, and its streams process; the queue rests.
Beside us, where it is installed (tests/bench/lnbits.py says how), LNbits makes plain invoices on the same node: one
call of it each, where an order makes two.""",
    """\
**Where an order's time goes.** The processor time that each part took in these rounds, for one order: all of them share
the same few cores, so it is what bounds the rate. And one purchase alone, in the benchmark's own process without HTTP:
how long it waits for the node and for PostgreSQL (the commit is not among the statements).""",
    """\
**From the payment to the opening.** Orders that named their node when they were bought, paid over Lightning one after
the other, with no worker running: the streams process alone reacts. Milliseconds after the moment when another listener
of the node hears that the payment is held. And, in runs of their own, what is waited for until then: each kind of call
and of statement, its transaction's end, and what remains, which is our own work and the handing over from one thread to
another; what takes less than a two-hundredth of it all is left out. All channels are with one
buyer's node, and LND lists those of the peer, as it does for each opening: the more
payments are measured, the longer that takes (`ListChannels`). No buyer has a hundred.""",
    """\
**One pass of reconcile.** What the worker does every minute, half of the orders in work being open channels and the
rest waiting invoices, none of them due: `orders.reconcile.look` and the query of what is due, in turn over one database
of each size; medians. "Ours" is without the time in which the node was waited for; "rows" are those that PostgreSQL
looks at in tables that grow with every order. Orders that are over should cost nothing: the rows must not become more
(they may be fewer: a small table is read whole where that is quicker).""",
    """\
**Peers that ask at once.** A hundred peers of the node each ask `lsps1.get_info` over Lightning, all together, round
after round, by themselves and while one more asks without end. Milliseconds from telling the node of a request to the
server's giving it the answer; and the processor time that each part took for one answer, and for one message of the
flood, which the server drops. The peers are played by this benchmark and a node written in Python, which shares the
cores with the server: both take longer over one message of the flood than the server does, so it is they that bound how
fast it comes, and some of the milliseconds are theirs.""",
)


def section(measured: Measured) -> list[str]:
    """What was measured on one kind of node."""
    return [
        f"## {measured.title}",
        f"{measured.said} Version {measured.node_version}.",
        "### Orders per second",
        orders_per_second(measured.levels),
        f"{len(measured.levels[0].ratios)} rounds of {measured.orders_in_round} each.",
        *beside(measured.beside),
        "### Where an order's time goes",
        *where_it_goes(measured),
        "### From the payment to the opening",
        reactions(measured.reactions),
        waits(measured.shares),
        "### One pass of reconcile",
        passes(measured.passes),
        f"Medians of {len(measured.passes[0].seconds)}.",
        *(peers(measured.peers) if measured.peers else ()),
    ]


def machine(seen: Machine) -> str:
    return (
        f"Measured on {seen.cores} cores ({seen.processor}) with a load of {seen.load_before:.1f} before the run;\n"
        f"PostgreSQL {seen.postgresql} (durable), Python {seen.python}, Django {seen.django}, "
        f"gunicorn {seen.gunicorn}."
    )


def orders_per_second(levels: Sequence[Level]) -> str:
    rows = [
        (
            str(level.clients),
            f"{level.orders:.0f}",
            f"{level.pairs:.0f}",
            f"**{level.ratio:.2f}**",
            f"{min(level.ratios):.2f}–{max(level.ratios):.2f}",
        )
        for level in levels
    ]
    return table(("clients", "orders/s", "bare pairs/s", "ratio", "of single rounds"), rows)


def beside(seen: Sequence[Beside]) -> Iterator[str]:
    if seen:
        yield "### Beside LNbits"
        yield table(("clients", "orders/s", "LNbits' plain invoices/s", "ratio"), list(map(_beside, seen)))


def _beside(seen: Beside) -> tuple[str, ...]:
    ours, theirs = median(seen.orders_per_second), median(seen.invoices_per_second)
    return str(seen.clients), f"{ours:.0f}", f"{theirs:.0f}", f"**{seen.ratio:.2f}**"


def where_it_goes(measured: Measured) -> Iterator[str]:
    if all(level.order_seconds for level in measured.levels):
        yield processor_time(measured.levels)
    yield alone(measured.purchase)


def processor_time(levels: Sequence[Level]) -> str:
    parts = sorted(levels[0].order_seconds, key=lambda part: -levels[0].order_seconds[part])
    rows = [(part, *(_ms(level.order_seconds[part]) for level in levels)) for part in parts]
    rows.append(("**together**", *(f"**{_ms(sum(level.order_seconds.values()))}**" for level in levels)))
    rows.append(("the node for a bare pair", *(_ms(level.pair_seconds) for level in levels)))
    return table(("processor ms of one order", *(f"{level.clients} clients" for level in levels)), rows)


def alone(purchase: Purchase) -> str:
    return (
        f"Alone a purchase takes {_ms(purchase.whole)} ms: {_ms(purchase.node)} ms of it wait for the node "
        f"({purchase.calls} calls), {_ms(purchase.database)} ms for PostgreSQL ({purchase.statements} statements), "
        f"{_ms(purchase.own)} ms are our own and the commit's (median of {purchase.runs})."
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"


def reactions(seen: Sequence[Reaction]) -> str:
    rows = []
    for name, of in STEPS:
        values = [of(reaction) * 1000 for reaction in seen]
        rows.append((name, *(f"{percentile(values, percent):.0f}" for percent in (50, 99)), f"{max(values):.0f}"))
    return table((f"after it is held, of {len(seen)}", "p50 ms", "p99 ms", "longest ms"), rows)


def waits(shares: Sequence[Share]) -> str:
    total = sum(share.seconds for share in shares)
    shown = [share for share in shares if share.seconds >= 0.005 * total]
    rows = [(each.what, f"{each.times:.1f}", _ms(each.seconds)) for each in shown]
    return table(("until it is sent, of one payment", "times", "ms"), rows)


def passes(seen: Sequence[Passes]) -> str:
    first = seen[0]
    rows = [
        (
            f"{each.at_rest:,}",
            str(each.open_orders),
            str(each.calls),
            str(each.statements),
            str(each.rows),
            f"{each.typical * 1000:.0f}",
            f"{each.own * 1000:.0f}",
            f"**{each.typical / first.typical:.2f}**",
            f"**{each.own / first.own:.2f}**",
        )
        for each in seen
    ]
    titles = ("at rest", "in work", "calls", "statements", "rows", "whole ms", "ours ms")
    return table((*titles, f"whole ÷ {first.at_rest:,}", f"ours ÷ {first.at_rest:,}"), rows)


def peers(seen: Peers) -> Iterator[str]:
    yield "### Peers that ask at once"
    rows = [_answered("by themselves", seen.alone), _answered("beside one that floods", seen.flooded)]
    yield table((f"answers to {seen.peers} peers", "of", "p50 ms", "p99 ms", "longest ms"), rows)
    yield f"The one that floods sent {seen.flood_per_second:.0f} requests a second."
    if seen.alone.spent:
        yield table(("processor ms", "for an answer", "for a message of the flood"), list(_spent(seen)))


def _answered(name: str, asking: Asking) -> Sequence[str]:
    values = [each * 1000 for each in asking.seconds]
    middle, late = (percentile(values, percent) for percent in (50, 99))
    return (name, f"{len(values):,}", f"{middle:.0f}", f"**{late:.0f}**", f"{max(values):.0f}")


def _spent(seen: Peers) -> Iterator[Sequence[str]]:
    for part in sorted(seen.alone.spent, key=lambda part: -seen.for_an_answer(part)):
        yield part, f"{seen.for_an_answer(part) * 1000:.2f}", f"{seen.for_a_flood(part) * 1000:.2f}"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; the first column to the left, figures to the right."""
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
