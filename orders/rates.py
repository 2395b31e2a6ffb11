"""What a bitcoin costs in the operator's currency, as a source that they plug in says; none is built in.

`RATE_SOURCE` names a function without arguments that returns a `Rate`, or raises whatever it likes when it knows none.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.utils import timezone
from django.utils.module_loading import import_string

from orders.errors import NotAvailable

log = logging.getLogger(__name__)

_COIN_SAT: Final = 10**8
#: A source is asked no more often, whoever buys, and whatever it says.
_HOLDS_SECONDS: Final = 30.0
#: Its clock may be so far ahead of ours.
_AHEAD: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Rate:
    """What one bitcoin costs, and since when that is known."""

    units_per_coin: Decimal
    at: datetime


class _Useless(Exception):
    """What a source said, or did, is no rate."""


#: What each source said, or why nothing of that can be used, and when.
_last: dict[str, tuple[float, Rate | str]] = {}


def in_sat(units: int) -> int:
    """So many units of the currency in satoshis, rounded down. Raises: NotAvailable where no fresh rate is known."""
    return int(units * _COIN_SAT / now().units_per_coin)


def now() -> Rate:
    """Raises: NotAvailable: nobody sells more than is allowed because a rate is missing."""
    path: str = settings.RATE_SOURCE or ""
    asked_at, told = _last.get(path, (0.0, ""))
    if not told or time.monotonic() - asked_at > _HOLDS_SECONDS:
        told = _asked(path)
        _last[path] = (time.monotonic(), told)
    if isinstance(told, str) or not _is_fresh(told):
        raise NotAvailable("The exchange rate is not known now; please try again later.")
    return told


def _asked(path: str) -> Rate | str:
    """The rate, or why there is none, which is logged here: buyers ask more often than the source is asked."""
    try:
        return _rate_of(path)
    except _Useless as problem:
        log.warning("the exchange rate cannot be used: %s", problem)
        return str(problem)


def _rate_of(path: str) -> Rate:
    try:
        rate = import_string(path)()
        is_rate = isinstance(rate, Rate) and Decimal(rate.units_per_coin).is_finite() and rate.units_per_coin > 0
        is_fresh = is_rate and _is_fresh(rate)
    except Exception as error:  # the source is the operator's: it may raise, or return, whatever it likes
        raise _Useless(type(error).__name__) from error
    if not is_fresh:
        raise _Useless("it is too old, or from the future" if is_rate else "it is no rate")
    return rate  # type: ignore[no-any-return]


def _is_fresh(rate: Rate) -> bool:
    age = timezone.now() - rate.at
    return -_AHEAD <= age <= timedelta(seconds=settings.RATE_MAX_AGE_SECONDS)
