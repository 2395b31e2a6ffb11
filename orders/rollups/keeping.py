"""The round that keeps the figures: forwards are read, the stock is sampled, days are added up, what is old goes."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef

from lightning import rights
from lightning.errors import LightningError
from lightning.node import LndNode
from lightning.rights import Feature
from orders import locks
from orders.locks import Lock
from orders.models import Alive, Forward, RollUp, RollUpName, StockSample
from orders.rollups import days, earned, forwards, looking, stock, tallies

log = logging.getLogger(__name__)

#: A day is added up while it is all there, and a look at the node reads a little of the one before.
_LEAST_DAYS: Final = 2


def keep(node: LndNode, now: datetime) -> str:
    """All that figures by day come from is kept up to now; in a few words. Repeat: safe; of two at once one leaves.

    While the node is away its forwards wait, and everything else goes on.
    """
    with locks.only_one(Lock.FIGURES) as obtained:
        if not obtained:
            return "somebody is at it"
        said, is_all = _read_forwards(node, now)
        stock.sample(now)
        for name in days.ADDED_UP:
            days.add_up(name)
        tallies.keep()
        earned.keep()
        looking.look()
        forget(now, with_forwards=is_all)
    return said


def rebuild() -> dict[RollUpName, int]:
    """Every day of which all is still there is added up anew: how many rows of each. It waits for who is at it."""
    with transaction.atomic():
        locks.hold(Lock.FIGURES)
        RollUp.objects.update(astray="")
        made = {name: days.rebuild(name) for name in days.KINDS}
        return {**made, RollUpName.FIGURES: tallies.rebuild(), RollUpName.EARNED: earned.rebuild()}


def _read_forwards(node: LndNode, now: datetime) -> tuple[str, bool]:
    try:
        if method := rights.lacking(Feature.ROUTING, node):
            return f"no forwards: the macaroon lacks {method}", False
        fresh, is_all = forwards.read(node, now)
    except LightningError as error:
        log.warning("the node's forwards are read later: %s", error)
        return "no forwards: the node is away", False
    return f"forwards={fresh}{'' if is_all else ', and more to come'}", is_all


def forget(now: datetime, *, with_forwards: bool) -> None:
    """What is older than `FIGURES_KEPT_DAYS` is kept by day alone. Forwards only where all of them were read.

    Repeat: safe. The caller holds the lock of the figures.
    """
    first = now.date() - timedelta(days=max(_LEAST_DAYS, settings.FIGURES_KEPT_DAYS))
    with transaction.atomic():
        StockSample.objects.filter(at__lt=_begin(first, now)).delete()
        _forget_life(_begin(first, now))
        _whole_from(first, RollUpName.STOCK, RollUpName.UPTIME)
        if with_forwards:
            Forward.objects.filter(day__lt=first).delete()
            _whole_from(first, RollUpName.ROUTING)


def _forget_life(before: datetime) -> None:
    """Of what lives still, the last stretch stays: else a silence after it would not count as one."""
    older = Alive.objects.filter(until__lt=before)
    lives = Exists(Alive.objects.filter(name=OuterRef("name"), until__gte=before))
    has_later = Exists(older.filter(name=OuterRef("name"), until__gt=OuterRef("until")))
    older.exclude(lives & ~has_later).delete()


def _begin(day: date, now: datetime) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=now.tzinfo)


def _whole_from(first: date, *names: RollUpName) -> None:
    for name in names:
        RollUp.objects.update_or_create(name=name, defaults={"whole_from": first})
