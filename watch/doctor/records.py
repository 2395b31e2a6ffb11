"""Checks of what our own records say. Pure: values in, a finding out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final
from uuid import UUID

from orders.ids import short
from watch.doctor.finding import Finding, Health, failure, ok, warning

#: A healthy queue empties within seconds.
_QUEUE_SLOW_SECONDS: Final = 120
_QUEUE_STUCK_SECONDS: Final = 900
#: Two rounds of alerts that reached nobody.
_UNSENT_SECONDS: Final = 180


def unreachable_database(error: str) -> Finding:
    """PostgreSQL did not answer."""
    mend = (
        "Start PostgreSQL, or correct DATABASE_URL. An embedded database runs only while `manage.py run` does.\n"
        "That of a simulated node is found with LSP_ENV_FILE=.lsp/simulated/server.env, that of `make regtest` with "
        "LSP_ENV_FILE=.lsp/regtest/server.env."
    )
    return failure("database", error, mend)


def database(version: str) -> Finding:
    """PostgreSQL answered."""
    return ok("database", f"PostgreSQL {version.split(' ')[0]}")


def migrations(missing: Collection[str]) -> Finding:
    """The tables are those of this code."""
    if not missing:
        return ok("migrations", "all applied")
    return failure("migrations", f"not applied: {', '.join(sorted(missing))}", "Run `manage.py migrate`.")


def queue(waiting: int, oldest_seconds: int) -> Finding:
    """The worker keeps up with the queue."""
    seen = f"{waiting:,} waiting, the oldest for {oldest_seconds:,} s" if waiting else "empty"
    if oldest_seconds <= _QUEUE_SLOW_SECONDS:
        return ok("queue", seen)
    if oldest_seconds <= _QUEUE_STUCK_SECONDS:
        return warning("queue", seen, "Look whether the worker is busy with slow peers; raise WORKERS if it stays so.")
    return failure("queue", seen, "Restart the worker: it has stopped taking tasks, or is not running.")


def worker(silent_seconds: int | None, limit_seconds: int) -> Finding:
    """The worker reconciles. Without it nothing is sure to move."""
    mend = "Start the worker (`manage.py run`, or `manage.py qcluster`), or restart it."
    return _heartbeat("worker", silent_seconds, limit_seconds, failure, mend)


#: As the streams process says it of the node's channel events (`streams.invoices.Trust`).
MISSING: Final = "events=missing"
_EVENTS_MISSING: Final = (
    "the node's channel events leave payments out: each unpaid invoice has a subscription of its own",
    "Nothing is lost, and the node and the streams process have some 40 kB more for each. Tell us your LND's version.",
)


def streams(silent_seconds: int | None, limit_seconds: int, detail: str = "") -> Finding:
    """The streams process listens. Without it every step takes up to a minute."""
    mend = "Start the streams process (`manage.py run`, or `manage.py run_streams`); until then orders are only slower."
    found = _heartbeat("streams", silent_seconds, limit_seconds, warning, mend)
    return warning("streams", *_EVENTS_MISSING) if found.health is Health.OK and MISSING in detail.split() else found


def openings(silent_seconds: int | None, limit_seconds: int) -> Finding:
    """Somebody waits for the peers that channels are opened to: the streams process, or the worker in its place."""
    mend = "Restart the streams process and the worker: no channel is opened until one of them waits for peers."
    return _heartbeat("openings", silent_seconds, limit_seconds, failure, mend)


def forwarding(silent_seconds: int | None, limit_seconds: int) -> Finding:
    """LND asks us about what others pay, and is answered; where nobody ever was, nothing is sold that needs it."""
    if silent_seconds is None:
        return ok("forwarding", "LND does not ask us")
    mend = (
        "Start the streams process, or look at its log: while LND asks and nobody answers, it forwards nothing. If you "
        "want no channels just in time any more, take requireinterceptor out of lnd.conf before LSPS2_ENABLED."
    )
    return _heartbeat("forwarding", silent_seconds, limit_seconds, failure, mend)


def _heartbeat(
    name: str, silent_seconds: int | None, limit_seconds: int, bad: Callable[[str, str, str], Finding], mend: str
) -> Finding:
    if silent_seconds is None:
        return bad(name, "has never reported", mend)
    seen = f"reported {silent_seconds:,} s ago"
    return ok(name, seen) if silent_seconds <= limit_seconds else bad(name, seen, mend)


def node_seen(age_seconds: int | None, synced: bool, limit_seconds: int) -> Finding:
    """The node was reached lately, and follows the chain."""
    mend = "Run `manage.py doctor`: it asks the node itself."
    if age_seconds is None:
        return failure("node_seen", "the node was never reached", mend)
    seen = f"{age_seconds:,} s ago, {'synced' if synced else 'not synced'} to the chain"
    return ok("node_seen", seen) if synced and age_seconds <= limit_seconds else failure("node_seen", seen, mend)


def offer(on_sale: int) -> Finding:
    """There is something to buy."""
    if on_sale:
        return ok("offer", f"{on_sale:,} on sale")
    return warning("offer", "nothing is on sale", "Put a service on sale in the admin.")


def switches(paused: Iterable[tuple[str, str, str]]) -> Finding:
    """Nothing is switched off; else (name, actor, reason) of each that is."""
    told = [f"{name} paused by {actor}: {reason}" for name, actor, reason in paused]
    if not told:
        return ok("switches", "nothing is paused")
    return warning(
        "switches",
        "; ".join(told),
        "Run `manage.py resume` when the reason is gone (`manage.py recover` first, where records are being checked).",
    )


def flagged(flags: Sequence[tuple[UUID, str]]) -> Finding:
    """No order waits for a person; else (order, kind) of each flag that stands."""
    if not flags:
        return ok("flagged_orders", "none")
    orders = len({order_id for order_id, _ in flags})
    kinds = ", ".join(f"{kind} ({count:,})" for kind, count in Counter(kind for _, kind in flags).most_common())
    mend = "The admin's list of orders, filtered by `needs a person`, says what each waits for."
    return warning("flagged_orders", f"{orders:,} {'needs' if orders == 1 else 'need'} a person: {kinds}", mend)


def alerts(are_on: bool, unsent: int, oldest_seconds: int) -> Finding:
    """Alerts reach somebody."""
    if not are_on:
        return warning("alerts", "off", "Set ALERT_URL, so that somebody is told when something fails.")
    if unsent and oldest_seconds > _UNSENT_SECONDS:
        mend = "Try `manage.py doctor --test-alert`, and correct ALERT_URL; the worker's log says which URL failed."
        return warning("alerts", f"{unsent:,} not delivered, the oldest since {oldest_seconds:,} s", mend)
    return ok("alerts", "on")


def admission(without_address: int, orders: int, is_onion: bool) -> Finding:
    """What keeps one who does not pay from keeping others waiting; of so many live orders."""
    by_address = "each client's unpaid orders, and what it keeps waiting by value and time"
    always = "unpaid orders in all, and five minutes for each payment without a reached node"
    if is_onion or (orders and without_address == orders):
        mend = (
            "All clients come from one address, as with an onion service. Where a proxy stands in front, name it in "
            "TRUSTED_PROXIES."
        )
        return ok("admission", f"counted without addresses: {always}", mend)
    return ok("admission", f"counted: {by_address}; {always}")


def reservations(astray: Sequence[UUID]) -> Finding:
    """What is promised is what orders hold."""
    if not astray:
        return ok("reservations", "as the orders have it")
    mend = "What is promised is miscounted. Pause the sales, and look at these orders with `manage.py order ID`."
    return failure("reservations", f"{len(astray):,} orders have another: {_named(astray)}", mend)


def books(age_seconds: int | None, adds_up: bool, words: str, limit_seconds: int) -> Finding:
    """Every satoshi is where the books have it, as they were compared last."""
    if age_seconds is None:
        return ok("books", "not compared yet", "`manage.py check_books` compares them now; the worker does by itself.")
    if not adds_up:
        mend = "Run `manage.py check_books`: it names each order and transaction, and by how much."
        return failure("books", words, mend)
    seen = f"compared {age_seconds:,} s ago: {words}"
    if age_seconds <= limit_seconds:
        return ok("books", seen)
    return warning("books", seen, "The worker should do so every BOOKS_CHECK_SECONDS: see its log, and the queue.")


def figures(astray: Sequence[str]) -> Finding:
    """What is kept of days that are over is what it comes to, as far as it was looked at."""
    if not astray:
        return ok("figures", "what is kept is as it comes to, as far as it was compared")
    mend = "Figures are counted anew where they differed. `manage.py rollups --rebuild` makes all anew; then tell us."
    return warning("figures", f"kept wrong: {'; '.join(astray)}", mend)


def _named(orders: Sequence[UUID]) -> str:
    return ", ".join(short(order_id) for order_id in orders[:8])
