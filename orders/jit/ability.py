"""Whether channels are sold just in time now: nothing is advertised that would not work."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

from orders import queries
from orders.models import Heartbeat, Service, SwitchName

#: The heartbeat of who hears of payments before our node passes them on: where nobody does, none can be held.
FORWARDING: Final = "forwarding"


def why_off() -> str:
    """Why no wallet is offered such a channel now; "" where it is. No node is asked."""
    if not settings.LSPS2_ENABLED:
        return "LSPS2_ENABLED is off"
    if settings.LND_NETWORK == "mainnet":
        return "it is not sold on mainnet yet: docs/design/jit.md says what is missing"
    if service() is None:
        return "no service on sale sells channels just in time"
    seen = queries.snapshot()
    if seen is None or not seen.takes_zero_conf:
        return "our node has no channels that are usable before their funding is mined"
    return "" if _listens() else "nobody hears of payments before our node passes them on"


def service() -> Service | None:
    """What is sold just in time: of those that are, the first on sale."""
    return queries.services_on_sale().filter(sells_jit=True).first()


def why_paused() -> str:
    """Why staff let none be sold, or none be opened, now; "" where they do."""
    paused = queries.paused(SwitchName.SALES) or queries.paused(SwitchName.OPENINGS)
    return paused.reason if paused is not None else ""


def _listens() -> bool:
    oldest = timezone.now() - timedelta(seconds=settings.HEARTBEAT_STALE_SECONDS)
    return Heartbeat.objects.filter(pk=FORWARDING, at__gte=oldest).exists()
