"""What a channel costs, and whether it can be sold now: for who buys, and for who only asks. Asks no node."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.conf import settings

from lightning.types import NodeAddress
from orders import blocks, ceilings, options, pricing, queries, tokens
from orders.errors import (
    Behind,
    KeptWaiting,
    NotAvailable,
    NotEnoughCoins,
    SalesPaused,
    ServiceNotFound,
    TooManyOrders,
)
from orders.models import NodeSnapshot, Service, SwitchName
from orders.models.order import Door
from orders.operations import selling, snapshot
from orders.operations.addressing import require_elsewhere, require_openable, require_served
from orders.options import Limits, Wanted
from orders.standing import Standing


@dataclass(frozen=True, slots=True)
class Priced:
    """A price by its parts, and what it was reckoned from."""

    quote: pricing.Quote
    open_vbytes: int
    stock: queries.Stock


def require_sales(stands: Standing) -> None:
    """Staff have not stopped the sales. Raises: SalesPaused."""
    paused = stands.paused(SwitchName.SALES)
    if paused is not None:
        raise SalesPaused(f"Sales are paused: {paused.reason}")


def require_keeping_up(seen: NodeSnapshot, now: datetime) -> None:
    """Who has paid does not wait for us. Raises: Behind."""
    if snapshot.is_behind(seen, now):
        raise Behind("More is being bought just now than we keep up with; please try again in a moment.")


def require_synced(seen: NodeSnapshot, now: datetime) -> None:
    """The node knows the whole chain, as far as was seen. Raises: NotAvailable."""
    if not queries.follows_chain(seen, now):
        raise NotAvailable("Our node is catching up with the chain; please try again later.")


def service_on_sale(stands: Standing, service_id: UUID | None) -> Service:
    """The service that is meant, the default where none is. Raises: ServiceNotFound, NotAvailable."""
    service = stands.service(service_id)
    if service is None and service_id is not None:
        raise ServiceNotFound("There is no such service on sale.")
    if service is None:
        raise NotAvailable("Nothing is on sale now.")
    return service


def require_named(address: NodeAddress | None, refund_address: str, wanted: Wanted) -> None:
    """Node and refund address, where they are named, are such that we can and will do business with.

    Raises: InvalidField, NotServed, NodeFull, NotAvailable (no rate).
    """
    if address is not None:
        require_openable(address)
        ceilings.require_node(address.pubkey, wanted.capacity_sat, ceilings.most_node_sat())
    if refund_address:
        require_elsewhere(refund_address)
    if address is not None or refund_address:
        require_served(address, refund_address=refund_address)


def limits(service: Service, coupon: tokens.Coupon | None, door: Door = Door.V1) -> Limits:
    """What the service sells, or the coupon does, by this door.

    bLIP-51 knows no shortest term: who asks for a shorter one is promised that, at the price of the shortest.
    """
    sold = coupon.limits(service.limits) if coupon else service.limits
    return replace(sold, min_expiry_blocks=1) if door.speaks_lsps1 else sold


def require_offered(service: Service, wanted: Wanted, coupon: tokens.Coupon | None, door: Door = Door.V1) -> None:
    """The service sells it, or the coupon does. Raises: OutOfRange, ClientSideTooLarge, NotAvailable (no rate)."""
    options.check(wanted, limits(service, coupon, door))
    ceilings.require_channel(wanted.capacity_sat)


def priced(
    service: Service,
    wanted: Wanted,
    seen: NodeSnapshot,
    stock: queries.Stock,
    coupon: tokens.Coupon | None = None,
    open_sat_per_kw: int | None = None,
) -> Priced:
    """The price of a funding with the coins that are left, whether or not they suffice. Nobody is asked."""
    open_vbytes = selling.open_vbytes(wanted, seen, stock)
    quote = pricing.quote(
        coupon.tariff(service.tariff) if coupon else service.tariff,
        lsp_balance_sat=wanted.lsp_balance_sat,
        client_balance_sat=wanted.client_balance_sat,
        channel_expiry_blocks=wanted.channel_expiry_blocks,
        sat_per_kw=seen.estimate_sat_per_kw,
        open_sat_per_kw=open_sat_per_kw,
        open_vbytes=open_vbytes,
        discount_percent=coupon.discount_percent if coupon else 0,
    )
    return Priced(quote, open_vbytes, stock)


def require_stock(
    wanted: Wanted, quote: pricing.Quote, seen: NodeSnapshot, stock: queries.Stock, client_hash: str
) -> None:
    """We never sell what we don't have, and no client keeps others waiting for nothing.

    Raises: TooManyOrders, KeptWaiting, NotEnoughCoins, TooDearToFund.
    """
    if client_hash and stock.unpaid_of_client >= settings.UNPAID_ORDERS_PER_CLIENT:
        raise TooManyOrders("You have too many unpaid orders; pay one or let it expire.")
    if wanted.capacity_sat + quote.open_fee_sat > stock.available_sat:
        raise _not_enough(max(0, stock.available_sat - quote.open_fee_sat))
    window = int(queries.CLIENT_WINDOW.total_seconds())
    if stock.waited_sat_seconds * 100 > stock.total_sat * window * settings.UNPAID_SHARE_PERCENT:
        raise KeptWaiting("Too much waits for you, unpaid or unclaimed; pay it, claim it or let it expire.")
    selling.require_fundable(wanted, quote, seen, stock)


def _not_enough(most_sat: int) -> NotEnoughCoins:
    """Coins that are being spent now give change, which is deep after so many blocks."""
    words = f"We do not have enough coins for this channel now, but for one of {most_sat} satoshis."
    return NotEnoughCoins(
        words if most_sat else "We do not have enough coins for a channel now.",
        most_sat=most_sat,
        again_in_seconds=settings.FUNDING_MIN_CONFS * blocks.SECONDS,
    )
