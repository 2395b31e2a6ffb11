"""What needs a person now, each with its words and the list that has exactly what it counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlencode

from django.urls import reverse

from orders.causes import FlagKind
from orders.dashboard.words import count, lasting, sat, why
from orders.figures import LowCoins, Needs, NodeSeen
from orders.ids import shortened


class Tone(StrEnum):
    """How urgent it is; orders/static/orders/dashboard.css knows them."""

    ALARM = "alarm"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Call:
    """One line. `counted`: how many rows the list behind `url` has; None: it is a state, and counts nothing."""

    tone: Tone
    words: str
    url: str
    counted: int | None = None
    #: In a few words more.
    detail: str = ""


_LONGEST: Final = 110
_PROCESS_WORDS: Final = {"reconcile": "the worker", "streams": "the streams process"}


def calls(needs: Needs, node: NodeSeen | None) -> list[Call]:
    """The most urgent first. Empty: nothing needs anybody."""
    found = [*_server(needs, node), *_books(needs), *_orders(needs), *_money(needs), *_leases(needs)]
    return sorted(found, key=lambda call: call.tone is not Tone.ALARM)


def _list(model: str, **asked: str) -> str:
    return reverse(f"admin:orders_{model}_changelist") + (f"?{urlencode(asked)}" if asked else "")


def _server(needs: Needs, node: NodeSeen | None) -> Iterator[Call]:
    seen = _list("nodesnapshot")
    if node is None:
        yield Call(Tone.ALARM, "The node was never seen", seen)
    elif not node.is_fresh:
        yield Call(Tone.ALARM, "The node does not answer", seen, detail=f"last seen {lasting(node.age_seconds)} ago")
    elif not node.follows_chain:
        yield Call(Tone.ALARM, "The node is not synced", seen, detail=f"at block {node.block_height:,}")
    for name in needs.never_reported:
        words = f"{_PROCESS_WORDS[name].capitalize()} has never reported"
        yield Call(Tone.ALARM, words, _list("heartbeat"))
    if needs.silent:
        names = ", ".join(
            f"{_PROCESS_WORDS.get(beat.name, beat.name)} for {lasting(beat.age_seconds)}" for beat in needs.silent
        )
        number = len(needs.silent)
        words = f"{count(number, 'process is', 'processes are')} silent"
        yield Call(Tone.ALARM, words, _list("heartbeat", silent="yes"), number, names)
    if needs.checks:
        number = len(needs.checks)
        words = f"{count(number, 'check', 'checks')} of the doctor {'fails' if number == 1 else 'fail'}"
        yield Call(Tone.ALARM, words, _list("alert", standing="checks"), number, ", ".join(needs.checks))


def _books(needs: Needs) -> Iterator[Call]:
    if needs.books is not None and not needs.books.adds_up:
        url = reverse("admin:orders_bookscheck_change", args=[needs.books.check])
        yield Call(Tone.ALARM, "The books do not add up", url, detail=_cut(shortened(needs.books.words)))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rsplit(' ', 1)[0]} …"


def _orders(needs: Needs) -> Iterator[Call]:
    for flag in needs.flags:
        words = f"{count(flag.flags, 'order')}: {FlagKind(flag.kind).label}"
        yield Call(Tone.ALARM, words, _list("flag", standing="yes", kind=flag.kind), flag.flags)
    for failing in needs.failing:
        words = f"{count(failing.orders, 'opening keeps', 'openings keep')} failing: {why(failing.why)}"
        yield Call(Tone.NOTICE, words, _list("channelorder", failing=failing.why), failing.orders)


def _money(needs: Needs) -> Iterator[Call]:
    if (owed := needs.proposed).refunds:
        words = f"{count(owed.refunds, 'proposed refund waits', 'proposed refunds wait')} for your decision"
        yield Call(Tone.ALARM, words, _list("refund", state__exact="proposed"), owed.refunds, sat(owed.sat))
    if (owed := needs.unaddressed).refunds:
        words = f"{count(owed.refunds, 'refund')} without an address"
        yield Call(Tone.NOTICE, words, _list("refund", address="needed"), owed.refunds, sat(owed.sat))
    if needs.coins is not None:
        yield _of_coins(needs.coins)


def _of_coins(low: LowCoins) -> Call:
    if low.is_empty:
        detail = f"{sat(low.available_sat)} to sell; the smallest channel has {low.smallest_sat:,}"
        return Call(Tone.ALARM, "Too few coins for any channel", _list("nodesnapshot"), detail=detail)
    detail = f"{count(low.coins, 'deep coin')}: openings wait for each other’s change"
    return Call(Tone.NOTICE, "Few coins", _list("nodesnapshot"), detail=detail)


def _leases(needs: Needs) -> Iterator[Call]:
    if needs.ending:
        words = f"{count(needs.ending, 'lease ends', 'leases end')} within a week"
        yield Call(Tone.NOTICE, words, _list("channelorder", lease="ending"), needs.ending)
    if needs.ended:
        words = f"{count(needs.ended, 'lease is', 'leases are')} over, and the channel stands"
        yield Call(Tone.NOTICE, words, _list("channelorder", lease="ended"), needs.ended)
