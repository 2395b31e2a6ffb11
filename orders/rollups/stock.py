"""How our channels and coins stand is kept, once in an hour."""

from __future__ import annotations

from datetime import datetime

from orders import figures, queries
from orders.figures import Capacity, Coins
from orders.models import StockSample


def sample(now: datetime) -> None:
    """The hour has how things stood when it was last looked at. Repeat: safe."""
    seen = queries.snapshot()
    found = _of_capacity(figures.capacity(seen)) | _of_coins(figures.coins(seen) if seen else None)
    hour = now.replace(minute=0, second=0, microsecond=0)
    StockSample.objects.update_or_create(at=hour, defaults={"taken_at": now, **found})


def _of_capacity(capacity: Capacity) -> dict[str, int | None]:
    return {
        "sold_sat": capacity.sold_sat,
        "total_sat": capacity.total_sat,
        "promised_sat": capacity.promised_sat,
        "free_sat": capacity.free_sat,
        "available_sat": capacity.available_sat,
        "reserved_sat": sum(each.value_sat for each in capacity.reserved),
    }


def _of_coins(coins: Coins | None) -> dict[str, int | None]:
    if coins is None:
        return dict.fromkeys(("deep_sat", "deep_coins", "leased_sat", "young_sat"))
    aside = dict(coins.aside)
    return {
        "deep_sat": coins.deep.sat,
        "deep_coins": coins.deep.coins,
        "leased_sat": aside["leased"].sat,
        "young_sat": aside["young"].sat,
    }
