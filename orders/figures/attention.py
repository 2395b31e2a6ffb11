"""What needs a person now. Each count is by a condition that the list of the admin which it leads to has too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Count, Q, Sum

from orders import leases, queries
from orders.figures.asking import OTHER_REASON, REASONS
from orders.figures.server import Beat, heartbeats, paused
from orders.figures.standing import FlagSum, flags
from orders.models import Alert, BooksCheck, ChannelOrder, NodeSnapshot, Refund, SwitchName
from orders.states import OrderState, RefundState

#: An opening takes a whole coin at least, and its change waits to be deep again.
ENOUGH_COINS: Final = 3
#: An attempt may fail by chance; so many in a row do not.
KEEPS_FAILING: Final = 2
#: Processes without which the shop stands still, or is slow.
PROCESSES: Final = ("reconcile", "streams")

#: Claimed, and one attempt after the other has failed since.
FAILING: Final = Q(state=OrderState.URI_SET, failed_openings__gte=KEEPS_FAILING)
#: Money that is to go back on chain, and nobody has said where to.
UNADDRESSED: Final = Q(state=RefundState.DUE, order__refund_address="")
#: A person decides whether it goes back.
PROPOSED: Final = Q(state=RefundState.PROPOSED)
#: What an alert of a check of the doctor's begins with; all others are of flags, which are counted as such.
_CHECK: Final = "check:"
CHECKS: Final = Q(cleared_at__isnull=True, key__startswith=_CHECK)


@dataclass(frozen=True, slots=True)
class Failing:
    """Orders whose openings keep failing for this reason."""

    why: str
    orders: int


@dataclass(frozen=True, slots=True)
class Owed:
    """Refunds, and what they are worth."""

    refunds: int
    sat: int


@dataclass(frozen=True, slots=True)
class LowCoins:
    """Why too few can be sold: `available_sat` is below the smallest channel on sale, or the coins are few."""

    available_sat: int
    smallest_sat: int
    coins: int

    @property
    def is_empty(self) -> bool:
        """Not even the smallest channel can be sold."""
        return self.available_sat < self.smallest_sat


@dataclass(frozen=True, slots=True)
class Books:
    """What the last look at the books found."""

    check: int
    age_seconds: int
    adds_up: bool
    words: str


@dataclass(frozen=True, slots=True)
class Needs:
    """All of it. Of the node's own state see `node_seen`."""

    flags: tuple[FlagSum, ...]
    failing: tuple[Failing, ...]
    unaddressed: Owed
    proposed: Owed
    #: Leases of channels that stand: of those that end soon, and of those that are over.
    ending: int
    ended: int
    coins: LowCoins | None
    silent: tuple[Beat, ...]
    never_reported: tuple[str, ...]
    paused: tuple[SwitchName, ...]
    #: Checks of the doctor that fail, by their names, as far as alerts are sent.
    checks: tuple[str, ...]
    books: Books | None

    @property
    def counts(self) -> dict[str, int]:
        """What is no flag, by name: always all of them."""
        return {
            "openings_failing": sum(each.orders for each in self.failing),
            "refunds_without_address": self.unaddressed.refunds,
            "refunds_proposed": self.proposed.refunds,
            "leases_ending": self.ending,
            "leases_over": self.ended,
            "books_wrong": int(self.books is not None and not self.books.adds_up),
            "coins_low": int(self.coins is not None),
        }


def failing_as(why: str) -> Q:
    """The orders whose openings keep failing for this reason, as `Failing` counts them."""
    return FAILING & (~Q(last_failure_reason__in=_named()) if why == OTHER_REASON else Q(last_failure_reason=why))


def _named() -> list[str]:
    return [reason for reason in REASONS if reason != OTHER_REASON]


def lease_ending(now: datetime, seen: NodeSnapshot | None) -> Q:
    """Channels that stand, and whose lease ends soon."""
    return leases.ending(height=seen.block_height if seen else 0, now=now)


def lease_ended(now: datetime, seen: NodeSnapshot | None) -> Q:
    """Channels that stand, and whose lease is over."""
    return leases.ended(height=seen.block_height if seen else 0, now=now)


def silent_since(now: datetime) -> datetime:
    """Who has not reported since then is silent."""
    return now - timedelta(seconds=settings.HEARTBEAT_STALE_SECONDS)


def needs(now: datetime, seen: NodeSnapshot | None) -> Needs:
    """In a bounded number of statements."""
    beats = heartbeats(now)
    until_soon = ChannelOrder.objects.filter(state=OrderState.OPEN, lease_ends_at__lte=now + leases.SOON)
    ends = until_soon.aggregate(
        ending=Count("pk", filter=lease_ending(now, seen)), ended=Count("pk", filter=lease_ended(now, seen))
    )
    unaddressed, proposed = _owed()
    return Needs(
        flags=tuple(flags()),
        failing=failing(),
        unaddressed=unaddressed,
        proposed=proposed,
        ending=ends["ending"],
        ended=ends["ended"],
        coins=low_coins(seen) if seen else None,
        silent=tuple(beat for beat in beats if beat.is_stale),
        never_reported=tuple(name for name in PROCESSES if name not in {beat.name for beat in beats}),
        paused=tuple(paused()),
        checks=_checks(),
        books=books(now),
    )


def failing() -> tuple[Failing, ...]:
    """Orders whose openings keep failing, by why; the most frequent first."""
    found = ChannelOrder.objects.filter(FAILING).order_by().values_list("last_failure_reason").annotate(Count("pk"))
    known: dict[str, int] = {}
    for reason, orders in found:
        why = reason if reason in REASONS else OTHER_REASON
        known[why] = known.get(why, 0) + orders
    return tuple(Failing(why, orders) for why, orders in sorted(known.items(), key=lambda each: (-each[1], each[0])))


def _owed() -> Iterable[Owed]:
    found = Refund.objects.filter(UNADDRESSED | PROPOSED).aggregate(
        unaddressed=Count("pk", filter=UNADDRESSED),
        unaddressed_sat=Sum("amount_sat", filter=UNADDRESSED, default=0),
        proposed=Count("pk", filter=PROPOSED),
        proposed_sat=Sum("amount_sat", filter=PROPOSED, default=0),
    )
    return (Owed(found[which], found[f"{which}_sat"]) for which in ("unaddressed", "proposed"))


def low_coins(seen: NodeSnapshot) -> LowCoins | None:
    """None: coins enough, or nothing is on sale."""
    smallest = [service.min_channel_sat for service in queries.services_on_sale()]
    if not smallest:
        return None
    told = LowCoins(queries.stock(seen).available_sat, min(smallest), len(seen.shape))
    return told if told.is_empty or told.coins < ENOUGH_COINS else None


def _checks() -> tuple[str, ...]:
    keys = Alert.objects.filter(CHECKS).order_by("key").values_list("key", flat=True)
    return tuple(key.removeprefix(_CHECK) for key in keys)


def books(now: datetime) -> Books | None:
    """The last look at them; None: nobody has looked yet."""
    last = BooksCheck.objects.first()
    if last is None:
        return None
    return Books(last.pk, max(0, int((now - last.at).total_seconds())), last.adds_up, last.words)
