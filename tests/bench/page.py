"""The figures as tables, for the terminal and for `docs/performance.md`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.bench.figures import Machine, Passes, Reaction, Result, percentile

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
        "## Orders per second",
        ORDERS.format(orders=result.orders_in_round, rounds=len(result.levels[0].ratios)),
        result.server,
        orders_per_second(result),
        "## From the payment to the opening",
        REACTIONS.format(count=len(result.reactions)),
        reactions(result.reactions),
        "## One pass of reconcile",
        PASSES.format(count=len(result.passes[0].seconds)),
        passes(result.passes),
        whole_tables(result.passes),
    ]
    return "\n\n".join(parts) + "\n"


HOW_TO_READ = """\
Read the ratios. Times and rates are those of one machine on one day, with the test network's nodes, the database, the
server and the clients that load it all on that machine; a ratio compares two things measured in the same run, in turn,
so that a slow disk or a busy neighbour weighs on both. No test asserts any of these figures. The node is a real lnd on
a chain of its own. `make bench` measures again and writes this page; `python -m tests.bench --help` has more."""

ORDERS = """\
`POST /channel/buy` from so many clients at once, each on a connection that it keeps, over the rate of bare
`AddHoldInvoice` + `NewAddress` pairs that as many threads get out of the same node: every order needs one such pair, so
1.00 would be a server that costs nothing. Bare and bought rounds of {orders} alternate, {rounds} of each; medians, and
the smallest and largest ratio of one round."""

REACTIONS = """\
{count} orders that named their node when they were bought, paid over Lightning one after the other, with no worker
running: the streams process alone reacts. Milliseconds after the moment when another listener of the node hears that
the payment is held."""

PASSES = """\
What the worker does every minute, the orders in work being waiting invoices and open channels on the node, and none of
them due: `orders.reconcile.look` and the query of what is due, in turn over one database of each size; medians of
{count}. "Ours" is without the time in which lnd was waited for. What matters are the ratios: orders that are over
should cost nothing."""


def machine(seen: Machine) -> str:
    return (
        f"Measured on {seen.cores} cores ({seen.processor}) with a load of {seen.load_before:.1f} before the run;\n"
        f"lnd {seen.lnd}, PostgreSQL {seen.postgresql} (durable), Python {seen.python}, Django {seen.django}, "
        f"gunicorn {seen.gunicorn}."
    )


def orders_per_second(result: Result) -> str:
    rows = [
        (
            str(level.clients),
            f"{level.orders:.0f}",
            f"{level.pairs:.0f}",
            f"**{level.ratio:.2f}**",
            f"{min(level.ratios):.2f}–{max(level.ratios):.2f}",
        )
        for level in result.levels
    ]
    return table(("clients", "orders/s", "bare pairs/s", "ratio", "of single rounds"), rows)


def reactions(seen: Sequence[Reaction]) -> str:
    rows = []
    for name, of in STEPS:
        values = [of(reaction) * 1000 for reaction in seen]
        rows.append((name, *(f"{percentile(values, percent):.0f}" for percent in (50, 99)), f"{max(values):.0f}"))
    return table((f"after it is held, of {len(seen)}", "p50 ms", "p99 ms", "longest ms"), rows)


def passes(seen: Sequence[Passes]) -> str:
    first = seen[0]
    rows = [
        (
            f"{each.at_rest:,}",
            str(each.open_orders),
            str(each.calls),
            str(each.statements),
            f"{each.typical * 1000:.0f}",
            f"{each.own * 1000:.0f}",
            f"**{each.typical / first.typical:.2f}**",
            f"**{each.own / first.own:.2f}**",
        )
        for each in seen
    ]
    titles = ("at rest", "in work", "calls", "statements", "whole ms", "ours ms")
    return table((*titles, f"whole ÷ {first.at_rest:,}", f"ours ÷ {first.at_rest:,}"), rows)


def whole_tables(seen: Sequence[Passes]) -> str:
    """What PostgreSQL's plans say of the largest database."""
    largest = max(seen, key=lambda each: each.at_rest)
    read = ", ".join(f"`{name}`" for name in largest.whole_tables) or "none"
    return f"Tables that grow with every order and that a pass among {largest.at_rest:,} reads from end to end: {read}."


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; the first column to the left, figures to the right."""
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
