"""What a new order can be paid with, on each rail that its service takes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from lightning import rights
from lightning.errors import LightningError
from lightning.node import LndNode
from lightning.rights import Feature
from lightning.types import OpenedInvoice
from orders import keys, marks
from orders.errors import NotAvailable
from orders.models import ChannelOrder, HoldInvoice, Service

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Payable:
    """What the node made for an order that does not exist yet: unseen, it expires by itself."""

    order_id: UUID
    invoice: OpenedInvoice | None
    address: str | None


def offer(order_id: UUID, service: Service, total_sat: int, node: LndNode, *, onchain: bool = True) -> Payable:
    """Everything that an order of this service can be paid with; nothing on chain where the buyer does not take it.

    Raises: NotAvailable.
    """
    try:
        onchain = onchain and service.accepts_onchain and not why_not_onchain(node)
        if not service.accepts_lightning and not onchain:
            raise NotAvailable("This service takes on-chain payments only, and they are off now.")
        invoice = _begin_invoice(order_id, total_sat, node) if service.accepts_lightning else None
        address = node.new_address() if onchain else None  # made while the node makes the invoice
        return Payable(order_id, invoice() if invoice else None, address)
    except LightningError as error:
        log.warning("order=%s buying failed at the node: %s", order_id, error)
        raise NotAvailable("Our node cannot be reached now; please try again later.") from error


def why_not_onchain(node: LndNode) -> str:
    """Why nobody is asked to pay on chain now; "" where buyers are. What was paid before is not concerned.

    Money: none is taken that we could not send back. Raises: NodeUnavailable.
    """
    if not settings.ONCHAIN_ENABLED:
        return "ONCHAIN_ENABLED is off"
    method = rights.lacking(Feature.ONCHAIN, node)
    return f"the macaroon does not allow {method}" if method else ""


def _begin_invoice(order_id: UUID, total_sat: int, node: LndNode) -> Callable[[], OpenedInvoice]:
    return node.begin_hold_invoice(
        payment_hash=keys.payment_hash(order_id),
        amount_sat=total_sat,
        memo=marks.invoice_memo(order_id),
        expiry_seconds=settings.ORDER_LIFETIME_SECONDS,
        cltv_blocks=settings.HOLD_CLTV_BLOCKS,
    )


def rows(order: ChannelOrder, payable: Payable) -> Iterator[HoldInvoice]:
    """What the order's row does not hold itself has its own, to be written with it."""
    if payable.invoice is not None:
        yield HoldInvoice(
            order=order,
            payment_hash=keys.payment_hash(order.pk),
            payment_request=payable.invoice.payment_request,
            add_index=payable.invoice.add_index,
            amount_sat=order.order_total_sat,
        )


def withdraw(payable: Payable, node: LndNode) -> None:
    """The invoice of an order that was not made is gone; where that fails it expires by itself, unseen."""
    if payable.invoice is None:
        return
    try:
        node.cancel_invoice(keys.payment_hash(payable.order_id))
    except LightningError as error:
        log.info("order=%s the unseen invoice stays until it expires: %s", payable.order_id, error)
