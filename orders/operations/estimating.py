"""What a channel would cost, told to who has not ordered one: nothing is made, nothing kept, and no node is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from orders import options, pricing, standing
from orders.errors import NotAvailable, OrderError, TooManyOrders
from orders.models import NodeSnapshot, Service
from orders.operations import couponing, preflighting, quoting
from orders.operations.creating import Purchase
from orders.standing import Standing


@dataclass(frozen=True, slots=True)
class Estimate:
    """The price of a purchase that nobody has made, as things stood when the node was last seen."""

    service: Service
    wanted: options.Wanted
    quote: pricing.Quote
    #: What the chain part is reckoned with.
    open_vbytes: int
    seen_at: datetime
    #: Until then the numbers that it rests on count as fresh. An order fixes its price, this promises none.
    valid_until: datetime
    #: Why it could not be bought now; None: it could.
    objection: OrderError | None
    #: What our records have against it: nobody is asked.
    findings: preflighting.Findings

    @property
    def in_stock(self) -> bool:
        """It could be bought now."""
        return self.objection is None


def estimate(purchase: Purchase) -> Estimate:
    """What `creating.create` would ask for this purchase, by the numbers that it would reckon with.

    Spec: POST /channel/estimate. Money: none.
    Repeat: safe.
    Raises: OutOfRange, ClientSideTooLarge, ServiceNotFound, TokenNotTaken, InvalidField, NotServed, NodeFull,
    WouldNotOpen: such a purchase is refused whatever there is in stock; NotAvailable where nothing is on sale, or our
    node was never seen.
    """
    stands = standing.read(purchase.client_hash)
    service = quoting.service_on_sale(stands, purchase.service_id)
    coupon = couponing.shown(purchase.asked.token)
    couponing.require_left(coupon)
    terms = coupon.terms if coupon else None
    quoting.require_offered(service, purchase.wanted, terms)
    quoting.require_named(purchase.address, purchase.refund_address, purchase.wanted)
    seen, stock = stands.seen, stands.stock
    if seen is None or stock is None:
        raise NotAvailable("Our node was not seen yet; please try again later.")
    priced = quoting.priced(service, purchase.wanted, seen, stock, terms)
    return Estimate(
        service=service,
        wanted=purchase.wanted,
        quote=priced.quote,
        open_vbytes=priced.open_vbytes,
        seen_at=seen.at,
        valid_until=seen.at + timedelta(seconds=settings.SNAPSHOT_MAX_AGE_SECONDS),
        objection=_objection(purchase, priced, stands, seen),
        findings=_recorded(service, purchase, seen),
    )


def _recorded(service: Service, purchase: Purchase, seen: NodeSnapshot) -> preflighting.Findings:
    return preflighting.checked(
        service,
        purchase.wanted,
        purchase.address,
        announced=purchase.announced,
        zero_conf=purchase.is_zero_conf,
        seen=seen,
        node=None,
    )


def _objection(
    purchase: Purchase, priced: quoting.Priced, stands: Standing, seen: NodeSnapshot
) -> NotAvailable | TooManyOrders | None:
    """What would be said to who buys now, and passes."""
    now = timezone.now()
    try:
        quoting.require_sales(stands)
        _require_lately(seen, now)
        quoting.require_keeping_up(seen, now)
        quoting.require_synced(seen, now)
        quoting.require_stock(purchase.wanted, priced.quote, seen, priced.stock, purchase.client_hash)
    except (NotAvailable, TooManyOrders) as error:
        return error
    return None


def _require_lately(seen: NodeSnapshot, now: datetime) -> None:
    """The node was seen not long ago: who buys has it looked at again. Raises: NotAvailable."""
    if now - seen.at > timedelta(seconds=settings.HEARTBEAT_STALE_SECONDS):
        raise NotAvailable("Our node was not reached lately; please try again later.")
