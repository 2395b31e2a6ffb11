"""What was measured, and the little arithmetic on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest of the values that so many percent of them do not exceed (nearest rank; never interpolated).

    Raises: ValueError without values.
    """
    if not values:
        raise ValueError("no values")
    rank = max(1, math.ceil(len(values) * percent / 100))
    return sorted(values)[rank - 1]


@dataclass(frozen=True)
class Level:
    """Rounds of purchases over HTTP, and rounds of the bare calls beside them, with so many clients."""

    clients: int
    orders_per_second: Sequence[float]
    pairs_per_second: Sequence[float]
    #: Processor time of one order by part of the server; empty where the system does not tell.
    order_seconds: Mapping[str, float]
    #: Processor time of the node for one bare pair.
    pair_seconds: float

    @property
    def orders(self) -> float:
        return median(self.orders_per_second)

    @property
    def pairs(self) -> float:
        return median(self.pairs_per_second)

    @property
    def ratio(self) -> float:
        return self.orders / self.pairs

    @property
    def ratios(self) -> list[float]:
        """That of each round: how much the noise moves it."""
        return [orders / pairs for orders, pairs in zip(self.orders_per_second, self.pairs_per_second, strict=True)]


@dataclass(frozen=True)
class Beside:
    """Rounds of purchases over HTTP, and rounds in which LNbits makes plain invoices, with so many clients."""

    clients: int
    orders_per_second: Sequence[float]
    invoices_per_second: Sequence[float]

    @property
    def ratio(self) -> float:
        return median(self.orders_per_second) / median(self.invoices_per_second)


@dataclass(frozen=True)
class Purchase:
    """One purchase with nobody else at work: the median of some, in seconds, and what it asked for."""

    runs: int
    whole: float
    node: float
    database: float
    statements: int
    calls: int

    @property
    def own(self) -> float:
        """Without the time in which node and database were waited for."""
        return self.whole - self.node - self.database


@dataclass(frozen=True)
class Reaction:
    """What happened in one paid order, in seconds after the node held the payment."""

    held_at: float  # by the clock of the day
    recorded: float
    begun: float
    sent: float
    published: float


class Share(NamedTuple):
    """What one payment waits for: how often, and how long in all (s)."""

    what: str
    times: float
    seconds: float


@dataclass(frozen=True)
class Passes:
    """Some reconcile passes over one database."""

    at_rest: int
    open_orders: int
    seconds: Sequence[float]
    node_seconds: Sequence[float]
    statements: int
    calls: int
    #: Of the tables that grow with every order.
    rows: int

    @property
    def typical(self) -> float:
        return median(self.seconds)

    @property
    def own(self) -> float:
        """Without the time in which the node was waited for."""
        return median(whole - node for whole, node in zip(self.seconds, self.node_seconds, strict=True))


@dataclass(frozen=True)
class Asking:
    """Rounds in which so many peers ask over Lightning at once."""

    #: From when the node was told of a request to when it was given the answer.
    seconds: Sequence[float]
    #: Processor time of each part meanwhile, without what it takes when nobody asks.
    spent: Mapping[str, float]
    #: Messages of one more peer, which asks without end.
    flood: int = 0
    lasted: float = 0.0


@dataclass(frozen=True)
class Peers:
    """So many peers that ask at once: alone, and while one more floods."""

    peers: int
    alone: Asking
    flooded: Asking

    @property
    def flood_per_second(self) -> float:
        """How fast the one was that floods."""
        return self.flooded.flood / self.flooded.lasted

    def for_an_answer(self, part: str) -> float:
        """Processor seconds of the part."""
        return self.alone.spent[part] / len(self.alone.seconds)

    def for_a_flood(self, part: str) -> float:
        """Processor seconds of the part for one message that is one too many."""
        answers = len(self.flooded.seconds) * self.for_an_answer(part)
        return max(0.0, self.flooded.spent[part] - answers) / self.flooded.flood


@dataclass(frozen=True)
class Machine:
    """Where it ran."""

    cores: int
    processor: str
    load_before: float
    python: str
    django: str
    gunicorn: str
    postgresql: str


@dataclass(frozen=True)
class Measured:
    """What was measured on one kind of node."""

    title: str
    said: str
    node_version: str
    orders_in_round: int
    levels: Sequence[Level]
    purchase: Purchase
    reactions: Sequence[Reaction]
    passes: Sequence[Passes]
    #: What is waited for until OpenChannel is sent, in the mean; what is our own work last.
    shares: Sequence[Share]
    #: None: this kind of node has not so many peers to ask it.
    peers: Peers | None = None
    #: Empty where LNbits is not installed.
    beside: Sequence[Beside] = ()


@dataclass(frozen=True)
class Result:
    """One whole run."""

    machine: Machine
    nodes: Sequence[Measured]
