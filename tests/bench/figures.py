"""What was measured, and the little arithmetic on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


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
class Reaction:
    """What happened in one paid order, in seconds after the node held the payment."""

    recorded: float
    begun: float
    sent: float
    published: float


@dataclass(frozen=True)
class Passes:
    """Some reconcile passes over one database."""

    at_rest: int
    open_orders: int
    seconds: Sequence[float]
    node_seconds: Sequence[float]
    statements: int
    calls: int
    whole_tables: Sequence[str]

    @property
    def typical(self) -> float:
        return median(self.seconds)

    @property
    def own(self) -> float:
        """Without the time in which the node was waited for."""
        return median(whole - node for whole, node in zip(self.seconds, self.node_seconds, strict=True))


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
    lnd: str


@dataclass(frozen=True)
class Result:
    """One whole run."""

    machine: Machine
    orders_in_round: int
    server: str
    levels: Sequence[Level]
    reactions: Sequence[Reaction]
    passes: Sequence[Passes]
