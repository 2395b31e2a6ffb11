"""An order comes to be: quoted, with something to pay. Our coins are for who pays first."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone

from lightning import shared
from lightning.errors import LightningError
from lightning.node import LndNode
from lightning.types import NodeAddress
from orders import options, pricing, queries, reservations, reserved, standing
from orders.actors import BUYER
from orders.admission import placing
from orders.causes import Cause
from orders.errors import (
    DATABASE_TROUBLE,
    InvalidField,
    KeyInFlight,
    KeyReused,
    NotAvailable,
    OrderError,
)
from orders.journal import tell
from orders.models import ChannelOrder, Coupon, IdempotencyKey, NodeSnapshot, OrderEvent, Service
from orders.models.order import Door
from orders.nudges import NEW
from orders.openings import promised
from orders.operations import couponing, preflighting, quoting, snapshot
from orders.payments import offering, onchain
from orders.payments.offering import Payable
from orders.postgres import rows
from orders.postgres.line import line
from orders.postgres.rows import Call
from orders.queries import Stock
from orders.standing import Standing
from orders.wallet import budget

log = logging.getLogger(__name__)

#: A first request that has not ended by then has died.
_IN_FLIGHT_SECONDS: Final = 120
#: A buyer who promised patience waits no longer for a lower price.
_ESTIMATE_SECONDS: Final = 2.0
#: Ours where nobody has it, or had it: for longer than keys are kept, or for a request that has died.
_CLAIM_KEY: Final = """
INSERT INTO orders_idempotencykey AS kept (key_hash, body_hash, created_at) VALUES (%(key)s, %(body)s, %(now)s)
ON CONFLICT (key_hash) DO UPDATE SET body_hash = excluded.body_hash, created_at = excluded.created_at, order_id = NULL
WHERE kept.created_at < %(forgotten)s OR (kept.order_id IS NULL AND kept.created_at < %(dead)s)
RETURNING key_hash
"""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The buyer's key, and the hash of the request it stands for."""

    key: str
    body_hash: str


@dataclass(frozen=True, slots=True)
class Asked:
    """By which door it is asked for, and what besides size and term. These are columns of the order."""

    door: Door = Door.V1
    token: str | None = ""
    required_channel_confirmations: int | None = None
    funding_confirms_within_blocks: int | None = None


#: Who buys by the channel-request API asks for nothing besides.
NOTHING_BESIDES: Final = Asked()
_ASKED: Final = tuple(field.name for field in fields(Asked))


@dataclass(frozen=True, slots=True)
class Purchase:
    """What a buyer asks for, parsed."""

    wanted: options.Wanted
    service_id: UUID | None
    address: NodeAddress | None
    announced: bool | None
    refund_address: str
    client_hash: str
    idempotency: Idempotency | None = None
    asked: Asked = NOTHING_BESIDES

    @property
    def is_zero_conf(self) -> bool:
        """The channel is to be usable before its funding is mined."""
        return self.asked.required_channel_confirmations == 0

    @property
    def takes_onchain(self) -> bool:
        """It may be paid on chain. Spec: bLIP-51 offers that to nobody who has not said where it goes back to."""
        return bool(self.refund_address) or not self.asked.door.speaks_lsps1


@dataclass(frozen=True, slots=True)
class _Sale:
    """What the two agreed on, before anything is made."""

    service: Service
    quote: pricing.Quote
    seen: NodeSnapshot
    findings: preflighting.Findings
    coupon: Coupon | None


def create(purchase: Purchase, *, node: LndNode) -> ChannelOrder:
    """The order exists, with everything it can be paid with.

    Spec: POST /channel/buy.
    Money: none moves; nothing payable is shown before the commit.
    Repeat: with the same idempotency key and body, the same order.
    Raises: OutOfRange, ClientSideTooLarge, ServiceNotFound, TokenNotTaken, NotServed, NodeFull, WouldNotOpen,
    NotAvailable, TooManyOrders, KeyReused, KeyInFlight.
    """
    if purchase.idempotency is None:
        return _create(purchase, node)
    now = timezone.now()
    try:
        return _claim_key(purchase.idempotency, now) or _create(purchase, node)
    except BaseException:
        _free_key(purchase.idempotency, now)
        raise


def _create(purchase: Purchase, node: LndNode) -> ChannelOrder:
    stands = standing.read(purchase.client_hash)
    quoting.require_sales(stands)
    service = quoting.service_on_sale(stands, purchase.service_id)
    coupon = couponing.shown(purchase.asked.token)
    couponing.require_left(coupon)
    quoting.require_offered(service, purchase.wanted, coupon.terms if coupon else None, purchase.asked.door)
    _require_payable(service, purchase)
    seen, stock = _seen(stands, purchase, node)
    quoting.require_keeping_up(seen, timezone.now())
    if not queries.follows_chain(seen, timezone.now()):
        seen, stock = _looked_again(seen, purchase, node)
    quoting.require_synced(seen, timezone.now())
    quoting.require_named(purchase.address, purchase.refund_address, purchase.wanted)  # by now we know our own node
    rate = _promised_rate(purchase, node)
    try:
        quote = _quote_in_stock(service, purchase, seen, stock, coupon, rate)
    except NotAvailable:  # what we saw may be old: staff may just have topped up
        seen, stock = _looked_again(seen, purchase, node)
        quote = _quote_in_stock(service, purchase, seen, stock, coupon, rate)
    findings = _preflight(service, purchase, seen, node)
    payable = offering.offer(uuid4(), service, quote.order_total_sat, node, onchain=purchase.takes_onchain)
    try:
        return _insert(purchase, _Sale(service, quote, seen, findings, coupon), payable)
    except OrderError:  # of anything else we cannot know whether it was committed: an order must not lose its invoice
        offering.withdraw(payable, node)
        raise


def _preflight(service: Service, purchase: Purchase, seen: NodeSnapshot, node: LndNode) -> preflighting.Findings:
    return preflighting.checked(
        service,
        purchase.wanted,
        purchase.address,
        announced=purchase.announced,
        zero_conf=purchase.is_zero_conf,
        seen=seen,
        node=node,
        client=purchase.client_hash,
    )


def _require_payable(service: Service, purchase: Purchase) -> None:
    if not service.accepts_lightning and not purchase.takes_onchain:
        words = "This service is paid on chain: say where the payment goes back to if there is no channel."
        raise InvalidField(words, field="refund_address")


def _promised_rate(purchase: Purchase, node: LndNode) -> int | None:
    """What the funding has to pay (sat/kW) that may confirm later than usual; None: as usual, and where the node does
    not tell.

    Whoever asks for as much at about the same time has the same answer: as with what is usual, it is of a moment ago.
    Spec: bLIP-51, `funding_confirms_within_blocks`.
    """
    within, usual = purchase.asked.funding_confirms_within_blocks, settings.FUNDING_CONF_TARGET
    target = promised.conf_target(within, waited_seconds=0, usual_blocks=usual)
    if target == usual:
        return None
    with suppress(LightningError):
        rates = shared.fee_rates(target, node, seconds=_ESTIMATE_SECONDS)
        return max(rates.estimate_sat_per_kw, rates.minimum_sat_per_kw)
    return None


def _seen(stands: Standing, purchase: Purchase, node: LndNode) -> tuple[NodeSnapshot, Stock]:
    """The node as seen not long ago, and what there is to sell by that. Raises: NotAvailable."""
    if stands.seen is not None and stands.stock is not None and snapshot.is_fresh(stands.seen):
        return stands.seen, stands.stock
    seen = snapshot.fresh_snapshot(node)
    return seen, queries.stock(seen, purchase.client_hash)


def _looked_again(seen: NodeSnapshot, purchase: Purchase, node: LndNode) -> tuple[NodeSnapshot, Stock]:
    """The same as it is now, before somebody is refused for what it was. Raises: NotAvailable."""
    seen = snapshot.look_again(node, seen)
    return seen, queries.stock(seen, purchase.client_hash)


def _quote_in_stock(
    service: Service, purchase: Purchase, seen: NodeSnapshot, stock: Stock, coupon: Coupon | None, rate: int | None
) -> pricing.Quote:
    """The price of a funding with the coins that are left. Raises: NotEnoughCoins, TooManyOrders."""
    quote = quoting.priced(service, purchase.wanted, seen, stock, coupon.terms if coupon else None, rate).quote
    quoting.require_stock(purchase.wanted, quote, seen, stock, purchase.client_hash)
    return quote


def _insert(purchase: Purchase, sale: _Sale, payable: Payable) -> ChannelOrder:
    """The order is committed: a quote, which promises its price, and our coins to who pays first.

    Written first and counted last: nobody sees the rows before the commit, and other sales wait for the counting alone.
    """
    order = _order(purchase, sale, payable, timezone.now())
    with transaction.atomic(durable=True):
        # the streams process has one more invoice to watch
        calls = [Call("pg_notify", (NEW, str(order.pk)))]
        if sale.coupon is None:
            calls += placing.quoting(purchase.client_hash)
        rows.insert(order, *_rows_beside(order, payable), calls=calls)
        tell(order, "", Cause.QUOTED, BUYER)
        if purchase.idempotency is not None:
            IdempotencyKey.objects.filter(pk=_key_hash(purchase.idempotency)).update(order=order)
        if sale.coupon is not None:
            placing.counting()  # the last use of a coupon is sold once
        couponing.require_left(sale.coupon, besides=order.pk)
        stock = queries.stock(sale.seen, purchase.client_hash, besides=order.pk)
        quoting.require_stock(purchase.wanted, sale.quote, sale.seen, stock, purchase.client_hash)
        placing.end_surplus_quotes(stock.unpaid + 1, besides=order.pk)
        reserved.fold(stock.changes)
    return order


def _rows_beside(order: ChannelOrder, payable: Payable) -> Iterator[Model]:
    """What comes to be with the order."""
    yield from offering.rows(order, payable)
    yield reservations.quoted(order)
    yield OrderEvent(
        order=order, version=1, at=order.created_at, actor=str(BUYER), cause=Cause.QUOTED, to_state=order.state,
        facts={"order_total_sat": order.order_total_sat, "door": str(order.door)},
    )  # fmt: skip


def _order(purchase: Purchase, sale: _Sale, payable: Payable, now: datetime) -> ChannelOrder:
    wanted, address, service, quote = purchase.wanted, purchase.address, sale.service, sale.quote
    return ChannelOrder(
        id=payable.order_id,
        created_at=now,
        created_height=sale.seen.block_height,
        version=1,
        expires_at=now + timedelta(seconds=settings.ORDER_LIFETIME_SECONDS),
        due_at=now + timedelta(seconds=settings.ORDER_LIFETIME_SECONDS),
        lsp_node_id=sale.seen.pk,
        service=service,
        lsp_balance_sat=wanted.lsp_balance_sat,
        client_balance_sat=wanted.client_balance_sat,
        channel_expiry_blocks=wanted.channel_expiry_blocks,
        most_routing_base_msat=service.most_routing_base_msat,
        most_routing_ppm=service.most_routing_ppm,
        base_fee_sat=quote.base_fee_sat,
        lease_fee_sat=quote.lease_fee_sat,
        open_fee_sat=quote.open_fee_sat,
        close_fee_sat=quote.close_fee_sat,
        floor_fee_sat=quote.floor_fee_sat,
        coupon=sale.coupon,
        discount_sat=quote.discount_sat,
        fee_total_sat=quote.fee_total_sat,
        fee_budget_sat=budget.of(quote),
        order_total_sat=quote.order_total_sat,
        quoted_sat_per_kw=quote.sat_per_kw,
        open_sat_per_kw=quote.open_sat_per_kw,
        zero_conf_satvbyte=onchain.offered_satvbyte(quote.order_total_sat, sale.seen) if payable.address else None,
        deposit_address=payable.address,
        refund_address=purchase.refund_address,
        client_hash=purchase.client_hash,
        node_pubkey=address.pubkey if address else "",
        node_host=address.host if address else "",
        announced_by_purchase=purchase.announced,
        warnings=preflighting.written(sale.findings),
        **{name: getattr(purchase.asked, name) for name in _ASKED},
    )


def forget_old_keys() -> None:
    """Idempotency keys are kept for a day, and no longer."""
    oldest = timezone.now() - timedelta(seconds=settings.IDEMPOTENCY_SECONDS)
    IdempotencyKey.objects.filter(created_at__lt=oldest).delete()


def _claim_key(idempotency: Idempotency, now: datetime) -> ChannelOrder | None:
    """The key is ours to use, or the order that it already made is returned.

    Raises: KeyReused, KeyInFlight.
    """
    key_hash = _key_hash(idempotency)
    given: dict[str, Any] = {
        "key": key_hash,
        "body": idempotency.body_hash,
        "now": now,
        "forgotten": now - timedelta(seconds=settings.IDEMPOTENCY_SECONDS),
        "dead": now - timedelta(seconds=_IN_FLIGHT_SECONDS),
    }
    with line().prepared() as cursor:
        cursor.execute(_CLAIM_KEY, given)
        is_ours = cursor.fetchone() is not None
    return None if is_ours else _first_answer(key_hash, idempotency)


def _free_key(idempotency: Idempotency, now: datetime) -> None:
    """The key that we claimed at `now` can be used again, unless its order exists: what failed may have been done.

    Where the database is away it is free when it counts as dead.
    """
    if connection.errors_occurred or not connection.is_usable():
        connection.close()  # else the delete would only find the line dead that just broke
    with suppress(*DATABASE_TROUBLE):
        IdempotencyKey.objects.filter(pk=_key_hash(idempotency), created_at=now, order=None).delete()


def _first_answer(key_hash: str, idempotency: Idempotency) -> ChannelOrder:
    row = IdempotencyKey.objects.select_related("order").filter(pk=key_hash).first()
    if row is not None and row.body_hash != idempotency.body_hash:
        raise KeyReused("This idempotency key was used for another request.")
    if row is None or row.order is None:
        raise KeyInFlight("The first request with this idempotency key is still in flight.")
    return row.order


def _key_hash(idempotency: Idempotency) -> str:
    """Never that of a row that still counts for its sender: those are hashes of an address's hash and a key."""
    return hashlib.sha256(f"key:{idempotency.key}".encode()).hexdigest()
