"""Which orders a list shows: each filter once, for the admin's list and for `manage.py orders`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from orders import figures, leases, queries
from orders.causes import FlagKind
from orders.figures.asking import REASONS
from orders.models import Flag, Service
from orders.models.order import Door, Rail
from orders.searching import matching
from orders.states import OrderState

#: Whatever the reason.
_ANY: Final = "any"
#: A value of a filter, and its words.
Choice = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Filter:
    """One question with its answers. `asks` is how the address of the admin's list has it."""

    name: str
    title: str
    asks: str
    choices: Callable[[], list[Choice]]
    condition: Callable[[str, datetime], Q]
    #: Of very many answers those that find something now; None: all are worth showing.
    worth_showing: Callable[[], set[str]] | None = None

    def of(self, value: str, now: datetime) -> Q | None:
        """What an order must be; None: that is no answer to this question."""
        return self.condition(value, now) if value in {each for each, _ in self.choices()} else None


_FLAGGED: Final = Q(standing_flags__gt=0)
_SURPRISES: Final[dict[str, tuple[str, Q]]] = {
    "needs_staff": ("needs a person", _FLAGGED),
    "paid_late": ("paid late", Q(paid_late=True)),
    "underpaid": ("underpaid", Q(underpaid=True)),
    "overpaid": ("overpaid", Q(overpaid=True)),
    "any": ("any of these", _FLAGGED | Q(paid_late=True) | Q(underpaid=True) | Q(overpaid=True)),
}


def _has_flag(kind: str, _: datetime) -> Q:
    """The database is asked for flags of orders that have one alone."""
    return _FLAGGED & Q(Exists(Flag.objects.filter(order=OuterRef("pk"), kind=kind, lowered_at=None)))


def _standing_kinds() -> set[str]:
    return set(Flag.objects.filter(lowered_at=None).order_by().values_list("kind", flat=True).distinct())


def _paid_by(rail: str, _: datetime) -> Q:
    return Q(counted_payment="" if rail == "none" else rail)


def _leased(lease: str, now: datetime) -> Q:
    """Of channels that stand: one that is closed keeps no promise any more."""
    seen = queries.snapshot()
    height = seen.block_height if seen else 0
    if lease == "running":
        return Q(state=OrderState.OPEN, lease_ends_at__gt=now + leases.SOON)
    return (leases.ending if lease == "ending" else leases.ended)(height=height, now=now)


def _services() -> list[Choice]:
    return [(str(service.pk), str(service)) for service in Service.objects.all()]


def _labels(choices: list[tuple[str, object]]) -> list[Choice]:
    return [(value, str(label)) for value, label in choices]


FILTERS: Final[dict[str, Filter]] = {
    each.name: each
    for each in (
        Filter(
            "state",
            "state",
            "state__exact",
            lambda: _labels(list(OrderState.choices)),
            lambda value, _: Q(state=value),
        ),
        Filter(
            "surprise",
            "surprise",
            "surprise",
            lambda: [(name, words) for name, (words, _) in _SURPRISES.items()],
            lambda value, _: _SURPRISES[value][1],
        ),
        Filter(
            "flag",
            "flag that stands",
            "flag",
            lambda: _labels(list(FlagKind.choices)),
            _has_flag,
            worth_showing=_standing_kinds,
        ),
        Filter(
            "rail",
            "payment",
            "rail",
            lambda: [*_labels(list(Rail.choices)), ("none", "not paid")],
            _paid_by,
        ),
        Filter(
            "door",
            "came by",
            "door",
            lambda: _labels(list(Door.choices)),
            lambda value, _: Q(door=value),
        ),
        Filter(
            "lease",
            "lease",
            "lease",
            lambda: [("running", "runs on"), ("ending", "ends within a week"), ("ended", "ended, still open")],
            _leased,
        ),
        Filter(
            "failing",
            "keeps failing",
            "failing",
            lambda: [(_ANY, "for any reason"), *((reason, reason.replace("_", " ").lower()) for reason in REASONS)],
            lambda value, _: figures.FAILING if value == _ANY else figures.failing_as(value),
            worth_showing=lambda: {_ANY, *(each.why for each in figures.failing())},
        ),
        Filter(
            "service",
            "service",
            "service__id__exact",
            _services,
            lambda value, _: Q(service=UUID(value)),
        ),
    )
}


def made(since: datetime | None, until: datetime | None) -> Q:
    """Quoted from the one moment on, and before the other."""
    earliest = Q(created_at__gte=since) if since else Q()
    return earliest & (Q(created_at__lt=until) if until else Q())


def filtered(
    answers: Mapping[str, str],
    now: datetime,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    search: str = "",
) -> Q:
    """All of it at once; `answers` are by the filters' names. Raises: ValueError (what is no answer)."""
    condition = made(since, until) & (matching(search) if search.strip() else Q())
    for name, value in answers.items():
        found = FILTERS[name].of(value, now)
        if found is None:
            raise ValueError(f"{value!r} is no {FILTERS[name].title}")
        condition &= found
    return condition


def named_service(text: str) -> str:
    """The id of the one service that is called so, or whose id begins so. Raises: ValueError."""
    word = text.strip().lower()
    ids = [value for value, label in _services() if word and (label.lower() == word or value.startswith(word))]
    if len(ids) != 1:
        raise ValueError(f"{text!r} names {'no service' if not ids else 'more than one service'}")
    return ids[0]
