"""A purchase by LSPS1, whatever carries it: read before, and told afterwards, by `lsps.lsps1`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings

from lightning.node import LndNode
from lightning.types import NodeAddress
from lsps import lsps1, reading
from lsps.lsps1 import CreateOrder, Dialect, Options
from orders import queries, wire
from orders.errors import NotAvailable
from orders.models import ChannelOrder, NodeSnapshot, Service
from orders.models.order import Door
from orders.operations import couponing, creating, quoting
from orders.operations.creating import Asked, Idempotency, Purchase
from orders.options import Limits


def options(seen: NodeSnapshot | None) -> Options:
    """What is on offer by LSPS1: the default service, as staff have it. Raises: NotAvailable."""
    return options_of(_service().limits, seen)


def options_of(limits: Limits, seen: NodeSnapshot | None) -> Options:
    """What is sold within these, as get_info tells it.

    So much at least on our side, whatever is on the client's: then no amount within these limits makes a channel that
    is too small, and a wallet's form needs to know no more.
    """
    return Options(
        min_required_channel_confirmations=_least_confirmations(seen),
        min_funding_confirms_within_blocks=settings.FUNDING_CONF_TARGET,
        supports_zero_channel_reserve=False,
        max_channel_expiry_blocks=min(limits.max_expiry_blocks, reading.UINT32),
        min_initial_client_balance_sat=0,
        max_initial_client_balance_sat=min(limits.max_client_balance_sat, limits.max_channel_sat),
        min_initial_lsp_balance_sat=limits.min_channel_sat,
        max_initial_lsp_balance_sat=limits.max_channel_sat,
        min_channel_balance_sat=limits.min_channel_sat,
        max_channel_balance_sat=limits.max_channel_sat,
    )


def _least_confirmations(seen: NodeSnapshot | None) -> int:
    """None are offered where our node, as it was last seen, can make such channels; whether the peer can, it says."""
    return 0 if seen is not None and seen.takes_zero_conf else 1


def info(dialect: Dialect) -> dict[str, Any]:
    """The answer to get_info, from our own records: no node is called. Raises: NotAvailable."""
    seen = queries.snapshot()
    uris = lsps1.easiest_first(settings.NODE_URIS or (seen.uris if seen else ()))
    return lsps1.info(options(seen), uris=uris, website=settings.PUBLIC_URL, dialect=dialect)


def create(
    asked: CreateOrder,
    buyer: NodeAddress,
    *,
    door: Door,
    node: LndNode,
    client_hash: str = "",
    idempotency: Idempotency | None = None,
) -> ChannelOrder:
    """The order exists, to be paid, for the buyer's node.

    Spec: lsps1.create_order.
    Money, Repeat: as orders.operations.creating.create.
    Raises: Refusal, OrderError.
    """
    service, coupon = _service(), couponing.shown(asked.token)
    sold = quoting.limits(service, coupon.terms if coupon else None, door)
    lsps1.require_offered(asked, options_of(sold, queries.snapshot()))
    purchase = Purchase(
        wanted=asked.wanted,
        service_id=service.pk,
        address=buyer,
        announced=asked.announce_channel,
        refund_address=asked.refund_onchain_address,
        client_hash=client_hash,
        idempotency=idempotency,
        asked=Asked(
            door=door,
            token=asked.token,
            required_channel_confirmations=asked.required_channel_confirmations,
            funding_confirms_within_blocks=asked.funding_confirms_within_blocks,
        ),
    )
    return creating.create(purchase, node=node)


def told(order_id: UUID, dialect: Dialect) -> dict[str, Any]:
    """The order as LSPS1 tells it, by whichever door it came. Raises: OrderNotFound."""
    view = wire.view(queries.order_or_raise(order_id), wire.Place(settings.PUBLIC_URL))
    return lsps1.order(view, dialect, least_blocks=settings.FUNDING_CONF_TARGET)


def _service() -> Service:
    service = queries.default_service()
    if service is None:
        raise NotAvailable("Nothing is on sale now.")
    return service
