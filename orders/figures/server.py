"""How our own processes, the database and the node are."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db.models import Count, Min, Q
from django_q.models import OrmQ

from orders import queries
from orders.figures.asking import age_seconds, rows
from orders.models import Alert, Heartbeat, NodeSnapshot, Switch, SwitchName


@dataclass(frozen=True, slots=True)
class Beat:
    """When a process, or a lane of one, last finished its round."""

    name: str
    age_seconds: int
    is_stale: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """The worker's tasks."""

    waiting: int
    #: Taken by a process of the worker.
    running: int
    oldest_seconds: int


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """What we last saw of the node."""

    age_seconds: int
    is_fresh: bool
    version: str
    network: str
    block_height: int
    follows_chain: bool
    active_channels: int
    local_balance_sat: int
    remote_balance_sat: int
    estimate_sat_per_kw: int
    #: How long it took to answer all that this look asked; None: of a row that is older than the figure.
    look_seconds: float | None


def heartbeats(now: datetime) -> list[Beat]:
    """Of all that ever reported."""
    ages = [(beat.name, age_seconds(beat.at, now)) for beat in Heartbeat.objects.order_by("name")]
    return [Beat(name, age, age > settings.HEARTBEAT_STALE_SECONDS) for name, age in ages]


def queue(now: datetime) -> Queue:
    """What waits for a process of the worker, and what has one."""
    waits = Q(lock__lte=now)
    counts = OrmQ.objects.aggregate(
        waiting=Count("pk", filter=waits), running=Count("pk", filter=~waits), oldest=Min("lock", filter=waits)
    )
    oldest = counts["oldest"]
    return Queue(counts["waiting"], counts["running"], age_seconds(oldest, now) if oldest else 0)


def node_seen(seen: NodeSnapshot, now: datetime) -> NodeSeen:
    """Asks nobody: the snapshot has it all."""
    age = age_seconds(seen.at, now)
    return NodeSeen(
        age_seconds=age,
        is_fresh=age <= settings.SNAPSHOT_MAX_AGE_SECONDS,
        version=seen.version.partition(" ")[0],
        network=seen.network,
        block_height=seen.block_height,
        follows_chain=queries.follows_chain(seen, now),
        active_channels=seen.active_channels,
        local_balance_sat=seen.local_balance_sat,
        remote_balance_sat=seen.remote_balance_sat,
        estimate_sat_per_kw=seen.estimate_sat_per_kw,
        look_seconds=seen.look_seconds,
    )


def paused() -> list[SwitchName]:
    """What is switched off."""
    off = set(Switch.objects.filter(on=False).values_list("name", flat=True))
    return [name for name in SwitchName if name in off]


def alerts_standing() -> int:
    """What somebody is, or is to be, told of, and is not right again."""
    return Alert.objects.filter(cleared_at=None).count()


_NOTHING: Final = "SELECT 1"


def database_seconds() -> float:
    """How long PostgreSQL takes to answer what costs it nothing, on a connection that is there already."""
    begun = time.perf_counter()
    rows(_NOTHING)
    return time.perf_counter() - begun
