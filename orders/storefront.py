"""What a wallet needs to compare us with others, in one document: what is sold, at which prices, and how it went.

Counted by the figures, priced as a purchase would be. No node is asked, and the statements are so many whatever is on
sale and however many orders there were.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings

from orders import alive, figures, lnurl, pricing, queries
from orders.errors import NotAvailable
from orders.figures import Lost, Period, Step
from orders.models import NodeSnapshot, Service, SwitchName
from orders.operations import quoting, selling
from orders.options import Wanted

#: Prices are told for these, as far as a service sells them: the same everywhere, so that they can be compared.
SIZES_SAT: Final = (1_000_000, 5_000_000, 10_000_000)
#: Thirty days.
TERM_BLOCKS: Final = 4_320
WINDOW: Final = timedelta(days=30)
#: Of fewer orders that are over no rate is told: it would say more of these orders than of us.
LEAST_ORDERS: Final = 10
#: Who gives these signs of life: the node, and the process without which no order moves.
_UPTIMES: Final = {"node": alive.NODE, "orders": "reconcile"}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What all of it is reckoned from, read once."""

    node: NodeSnapshot
    stock: queries.Stock
    largest_sat: int


def document(now: datetime) -> dict[str, Any]:
    """All of it, as it is now. Raises: NotAvailable (our node was never seen)."""
    node = queries.snapshot()
    if node is None:
        raise NotAvailable("Our node was not seen yet; please try again later.")
    paused, stock = queries.paused(SwitchName.SALES), queries.stock(node)
    seen = _Seen(node, stock, 0 if paused else selling.largest_sat(node, stock))
    return {
        "made_at": _written(now),
        "node": {"alias": node.alias, "public_key": node.node.pubkey, "network": node.network, "uris": _uris(node)},
        "protocols": _protocols(_uris(node)),
        "sales": {"open": paused is None, "paused": paused.reason if paused else ""},
        "offers": [_offer(service, seen) for service in queries.services_on_sale()],
        "chain": {
            "sat_per_kw": node.estimate_sat_per_kw,
            "closing_vbytes": pricing.CLOSE_VBYTES,
            "seen_at": _written(node.at),
        },
        "last_30_days": {"uptime_percent": _uptimes(now), **_orders(now)},
    }


def _protocols(uris: list[str]) -> list[dict[str, Any]]:
    """Each way to buy, and where it is spoken."""
    url = settings.PUBLIC_URL
    over_lightning = {"name": "lsps1-over-lightning", "version": "bLIP-50, bLIP-51", "urls": uris}
    return [
        {
            "name": "lsp-channel-request",
            "version": "0.0.1",
            "urls": [f"{url}{mount}" for mount in ("", "/v1", "/api/v1")],
            "described_by": f"{url}/openapi.yaml",
        },
        {"name": "lnurl-channel", "version": "LUD-02", "urls": [f"{url}{lnurl.PATH}"]},
        {"name": "lsps1", "version": "bLIP-51", "urls": [f"{url}{mount}" for mount in ("/api/v1", "/api/lsps1/v1")]},
        *([over_lightning] if _hears_peers() else []),
    ]


def _hears_peers() -> bool:
    """Not where the macaroon lacks the rights, nor while nobody listens: who asked there would wait for nothing."""
    return settings.LSPS1_OVER_LIGHTNING and alive.says(alive.STREAMS, alive.HEARS_PEERS)


def _uris(node: NodeSnapshot) -> list[str]:
    return lnurl.ordered(settings.NODE_URIS or node.uris)


def _offer(service: Service, seen: _Seen) -> dict[str, Any]:
    fits = seen.largest_sat >= service.min_channel_sat
    return {
        "service_id": str(service.pk),
        "description": service.description,
        "min_channel_sat": service.min_channel_sat,
        "max_channel_sat": service.max_channel_sat,
        "max_channel_now_sat": min(seen.largest_sat, service.max_channel_sat) if fits else 0,
        "max_client_balance_sat": service.max_client_balance_sat,
        "min_expiry_blocks": service.min_expiry_blocks,
        "max_expiry_blocks": service.max_expiry_blocks,
        "payments": _payments(service),
        "announced_by_default": service.announced_by_default,
        "after_lease": service.after_lease,
        "most_routing_base_msat": service.most_routing_base_msat,
        "most_routing_ppm": service.most_routing_ppm,
        "prices": [_price(service, wanted, seen) for wanted in _compared(service)],
    }


def _payments(service: Service) -> list[str]:
    taken = {"lightning": service.accepts_lightning, "onchain": service.accepts_onchain and settings.ONCHAIN_ENABLED}
    return [way for way, is_taken in taken.items() if is_taken]


def _compared(service: Service) -> list[Wanted]:
    """The sizes of all LSPs, each the nearest that this service sells."""
    term = min(max(TERM_BLOCKS, service.min_expiry_blocks), service.max_expiry_blocks)
    sizes = {min(max(size, service.min_channel_sat), service.max_channel_sat) for size in SIZES_SAT}
    return [Wanted(size, 0, term) for size in sorted(sizes)]


def _price(service: Service, wanted: Wanted, seen: _Seen) -> dict[str, Any]:
    priced = quoting.priced(service, wanted, seen.node, seen.stock)
    quote = priced.quote
    return {
        "lsp_balance_sat": wanted.lsp_balance_sat,
        "client_balance_sat": wanted.client_balance_sat,
        "channel_expiry_blocks": wanted.channel_expiry_blocks,
        "fee_total_sat": quote.fee_total_sat,
        "chain_fee_sat": quote.open_fee_sat + quote.close_fee_sat,
        "opening_vbytes": priced.open_vbytes,
        "in_stock": wanted.capacity_sat <= seen.largest_sat,
    }


def _uptimes(now: datetime) -> dict[str, float | None]:
    """Of the time since each first gave a sign of life, the part in which it did; None: it never has."""
    days = figures.uptime_by_day(Period.last(WINDOW, now))
    return {
        told: _percent(
            sum(day.up_seconds for day in days if day.name == name),
            sum(day.counted_seconds for day in days if day.name == name),
        )
        for told, name in _UPTIMES.items()
    }


def _orders(now: datetime) -> dict[str, Any]:
    """Of the orders that were paid and named a node and are over, the part that got its channel; and how soon."""
    window = Period.last(WINDOW, now)
    funnel, waits = figures.funnel(window), figures.waits(window)
    over = funnel.open + sum(lost.orders for lost in funnel.lost if _is_failed(lost))
    is_told = over >= LEAST_ORDERS
    return {
        "success_percent": _percent(funnel.open, over) if is_told else None,
        "payment_to_channel_p50_seconds": waits.p50_seconds if is_told else None,
    }


def _is_failed(lost: Lost) -> bool:
    return lost.after is Step.CLAIMED


def _percent(part: int, whole: int) -> float | None:
    """With two digits, rounded down: only what was always there is 100."""
    return part * 10_000 // whole / 100 if whole else None


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
