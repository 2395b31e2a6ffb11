"""What is drawn as bars beside words: no script is needed for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse

from orders.causes import Cause
from orders.dashboard.asked import Asked
from orders.dashboard.words import count, part, sat, why
from orders.figures import Capacity, Channels, Coins, Ended, Funnel, Lost, Openings, RefundSum, Step


@dataclass(frozen=True, slots=True)
class Bar:
    """One line. `share`: of the longest, 0 to 100."""

    label: str
    value: str
    share: float
    tone: str = "main"
    detail: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the funnel, and what became of those who came no farther."""

    bar: Bar
    lost: Sequence[str]
    under_way: str


_STEPS = {
    Step.QUOTED: ("Quoted", "told a price"),
    Step.PAID: ("Paid", "the payment was held, or came in"),
    Step.CLAIMED: ("Claimed", "the node was named"),
    Step.OPEN: ("Open", "the channel became usable"),
}
_MOST_REASONS = 4


def stages(funnel: Funnel) -> list[Stage]:
    """From quoted to open, with the losses between."""
    return [Stage(_step(funnel, step), _reasons(_lost(funnel, step)), _waiting(funnel, step)) for step in Step]


def _lost(funnel: Funnel, step: Step) -> list[Lost]:
    return [each for each in funnel.lost if each.after is step]


def _step(funnel: Funnel, step: Step) -> Bar:
    orders = funnel.reached(step)
    of_all = orders / funnel.quoted if funnel.quoted else None
    label, detail = _STEPS[step]
    share = 100 * (of_all or 0)
    return Bar(label, f"{orders:,}", share, "good" if step is Step.OPEN else "main", f"{part(of_all)} · {detail}")


def _reasons(lost: Sequence[Lost]) -> list[str]:
    """The most frequent first; the rare ones together."""
    told = [f"{each.orders:,} · {_reason(each.why)}" for each in lost[:_MOST_REASONS]]
    rest = sum(each.orders for each in lost[_MOST_REASONS:])
    return [*told, f"{rest:,} · for other reasons"] if rest else told


def _reason(word: str) -> str:
    """What ended the order, by its journal's words or the buyers'."""
    return str(Cause(word).label) if word in Cause.values else why(word)


def _waiting(funnel: Funnel, step: Step) -> str:
    number = sum(each.orders for each in funnel.under_way if each.after is step)
    return f"{number:,} still under way" if number else ""


def failures(found: Openings, asked: Asked) -> list[Bar]:
    """Why attempts failed, each with the list of them."""
    longest = max((number for _, number in found.failures), default=0)
    listed = reverse("admin:orders_channelopening_changelist")
    days = {"created_at__gte": asked.period.since.isoformat(), "created_at__lt": asked.period.until.isoformat()}
    return [
        Bar(
            why(reason).capitalize(),
            f"{number:,}",
            100 * number / longest,
            "bad",
            url=f"{listed}?{urlencode({'state__exact': 'failed', 'failed': reason, **days})}",
        )
        for reason, number in found.failures
    ]


_SIDES = {
    "together": "By agreement of both",
    "us": "By us, forced",
    "peer": "By the peer, forced",
    "nobody": "Never opened",
    "unknown": "Nobody knows by whom",
}


def endings(ended: Sequence[Ended]) -> list[Bar]:
    """Who closed the channels, and how many of them before their lease was over."""
    longest = max((each.closed for each in ended), default=0)
    return [
        Bar(
            _SIDES[each.by],
            f"{each.closed:,}",
            100 * each.closed / longest,
            "warm" if each.early else "quiet",
            f"{each.early:,} before the lease’s end" if each.early else "",
        )
        for each in ended
    ]


def standing(now: Channels) -> list[Bar]:
    """Channels that were sold and stand, each with the list of them."""
    told = (
        ("Open", now.open, "good", {"state__exact": "open"}),
        ("Their lease ends within a week", now.ending, "warm", {"lease": "ending"}),
        ("Their lease is over", now.ended, "warm", {"lease": "ended"}),
        ("Being opened", now.opening, "main", {"state__exact": "opening"}),
        ("Being closed", now.closing, "quiet", {"state__exact": "closing"}),
    )
    longest, listed = max(number for _, number, _, _ in told), reverse("admin:orders_channelorder_changelist")
    return [
        Bar(label, f"{number:,}", 100 * number / longest, tone, url=f"{listed}?{urlencode(asked)}")
        for label, number, tone, asked in told
        if number
    ]


def stock(now: Capacity) -> list[Bar]:
    """Our coins and channels now."""
    known = [
        ("In sold channels", now.sold_sat, "main", "both sides"),
        ("Free", now.free_sat, "good", "nobody has to give way for it"),
        ("Promised", now.promised_sat, "warm", "paid for, and not in a channel yet"),
    ]
    reserved = sum(each.value_sat for each in now.reserved)
    known.append(("Reserved", reserved, "quiet", count(sum(each.orders for each in now.reserved), "order")))
    return _sized((label, amount, tone, detail) for label, amount, tone, detail in known if amount is not None)


def _sized(known: Iterable[tuple[str, int, str, str]]) -> list[Bar]:
    found = list(known)
    longest = max((amount for _, amount, _, _ in found), default=0) or 1
    return [Bar(label, sat(amount), 100 * amount / longest, tone, detail) for label, amount, tone, detail in found]


def purse(coins: Coins) -> list[Bar]:
    """The wallet's coins: those that fund channels by size, and the others by why they fund none."""
    bounds = [least for least, _ in coins.by_size]
    sized = [(_size(least, bounds), held, "main") for least, held in reversed(coins.by_size)]
    aside = [(_ASIDE[reason], held, "quiet") for reason, held in coins.aside]
    told = [each for each in (*sized, *aside) if each[1].coins]
    return _sized((label, held.sat, tone, count(held.coins, "coin")) for label, held, tone in told)


_ASIDE = {
    "leased": "Leased for an opening",
    "young": "Not deep enough yet",
    "nested": "Nested: funds no channel",
    "foreign": "Imported: no key of it here",
}


def _size(least: int, bounds: Sequence[int]) -> str:
    above = [bound for bound in bounds if bound > least]
    return f"{_short(least)} to {_short(min(above))}" if above else f"{_short(least)} and more"


def _short(amount: int) -> str:
    return f"{amount // 1_000_000} M" if amount >= 1_000_000 else f"{amount // 1_000} k" if amount else "0"


_STANDS = {
    "due": ("Due", "warm"),
    "under_way": ("Under way", "main"),
    "done": ("Done", "good"),
    "kept": ("Kept for the buyer", "warm"),
    "withdrawn": ("Withdrawn", "quiet"),
}
_LISTED = {"under_way": "", "due": "due", "done": "done", "kept": "kept", "withdrawn": "withdrawn"}


def refunded(sums: Sequence[RefundSum]) -> list[Bar]:
    """Refunds as they stand, from the first day on."""
    longest = max((each.amount_sat for each in sums), default=0) or 1
    listed = reverse("admin:orders_refund_changelist")
    return [
        Bar(
            _STANDS[each.stands][0],
            sat(each.amount_sat),
            100 * each.amount_sat / longest,
            _STANDS[each.stands][1],
            count(each.refunds, "refund"),
            f"{listed}?state__exact={_LISTED[each.stands]}" if _LISTED[each.stands] else listed,
        )
        for each in sums
        if each.refunds and each.stands in _STANDS
    ]
