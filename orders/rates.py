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
#: A source is asked no more often, whoever buys.
_HOLDS_SECONDS: Final = 30.0
#: Its clock may be so far ahead of ours.
_AHEAD: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Rate:
    """What one bitcoin costs, and since when that is known."""

    units_per_coin: Decimal
    at: datetime


_last: dict[str, tuple[float, Rate]] = {}


def in_sat(units: int) -> int:
    """So many units of the currency in satoshis, rounded down. Raises: NotAvailable where no fresh rate is known."""
    return int(units * _COIN_SAT / now().units_per_coin)


def now() -> Rate:
    """Raises: NotAvailable: nobody sells more than is allowed because a rate is missing."""
    path: str = settings.RATE_SOURCE or ""
    asked_at, rate = _last.get(path, (0.0, None))
    if rate is None or time.monotonic() - asked_at > _HOLDS_SECONDS:
        rate = _asked(path)
        _last[path] = (time.monotonic(), rate)
    if not _is_fresh(rate):
        raise _unknown("it is too old, or from the future")
    return rate


def _asked(path: str) -> Rate:
    try:
        rate = import_string(path)()
    except Exception as error:
        raise _unknown(type(error).__name__) from error
    if not isinstance(rate, Rate) or not rate.units_per_coin.is_finite() or rate.units_per_coin <= 0:
        raise _unknown("it is no rate")
    return rate


def _is_fresh(rate: Rate) -> bool:
    age = timezone.now() - rate.at
    return -_AHEAD <= age <= timedelta(seconds=settings.RATE_MAX_AGE_SECONDS)


def _unknown(why: str) -> NotAvailable:
    log.warning("the exchange rate cannot be used: %s", why)
    return NotAvailable("The exchange rate is not known now; please try again later.")
