"""An order comes to be for a payment that is on its way: it is paid and claimed from the first moment."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from django.conf import settings

from orders import keys, pricing, queries, reservations, serving
from orders.actors import BUYER, LSP
from orders.admission import placing
from orders.barring import Asked
from orders.causes import Cause
from orders.jit import ability, exposure
from orders.journal import write
from orders.models import ChannelOrder, HoldInvoice, JitPart, JitPurchase, NodeSnapshot
from orders.models.order import Door, Rail
from orders.payments.counting import pay
from orders.states import InvoiceState, OpeningState, OrderState
from orders.transitions import move_invoice
from orders.wallet import budget

#: Nobody has more of them than that under way, however small they are.
_NOT_NOW: Final = "NOT_SOLD_NOW"
_PUBLISHED: Final = (OpeningState.PUBLISHING, OpeningState.PUBLISHED, OpeningState.CONFIRMED)


def objection(purchase: JitPurchase, size_msat: int, fee_msat: int) -> str:
    """Why no channel is opened for this payment now; "" where one is. What is risked is counted by us alone until the
    transaction ends.
    """
    if ability.why_paused() or queries.snapshot() is None:
        return _NOT_NOW
    if serving.objection(Asked(node=purchase.node_pubkey)) is not None:
        return "NOT_SERVED"
    if _has_channel(purchase):
        return "CHANNEL_THERE"
    channel_sat = purchase.service.jit_size.channel_sat(size_msat, fee_msat)
    placing.counting()
    return exposure.objection(purchase, channel_sat)


def _has_channel(purchase: JitPurchase) -> bool:
    """One was published for it, and is not over: also where its payment has not gone on over it, and went back.

    The caller holds the purchase's row, and knows that no order of it lives: so none is published meanwhile.
    """
    orders = ChannelOrder.objects.filter(jit_parts__purchase=purchase).exclude(state=OrderState.CLOSED)
    return orders.filter(openings__state__in=_PUBLISHED).exists()


def make(purchase: JitPurchase, parts: list[JitPart], size_msat: int, fee_msat: int, now: datetime) -> ChannelOrder:
    """The order is claimed for who bought, and its payment held: our fee of it.

    The caller holds the purchase's row, and the lock of sales.

    Money: a stranger's, held by our node until it goes on or back. Our coins are promised to it as to any other.
    """
    seen = queries.snapshot()
    assert seen is not None
    order = _order(purchase, seen, size_msat, fee_msat, now)
    JitPart.objects.filter(pk__in=[part.pk for part in parts]).update(order=order)
    invoice = HoldInvoice.objects.create(
        order=order,
        payment_hash=parts[0].payment_hash,
        payment_request="",
        add_index=0,
        amount_sat=order.order_total_sat,
    )
    reservations.quoted(order).save()
    write(order, "", Cause.QUOTED, BUYER, {"order_total_sat": order.order_total_sat, "door": str(order.door)})
    move_invoice(
        order,
        invoice,
        InvoiceState.HELD,
        held_sat=order.order_total_sat,
        held_at=now,
        hold_expires_height=min(part.auto_fail_height for part in parts),
    )
    pay(order, Rail.LIGHTNING, cause=Cause.PARTS_GATHERED, actor=LSP)
    order.open_deadline_at = now + timedelta(seconds=settings.LSPS2_HOLD_SECONDS)
    placing.place(order)
    order.save()
    return order


def _order(purchase: JitPurchase, seen: NodeSnapshot, size_msat: int, fee_msat: int, now: datetime) -> ChannelOrder:
    fee_sat = fee_msat // 1000
    open_fee_sat = min(fee_sat, pricing.chain_fee_sat(pricing.OPEN_VBYTES, seen.estimate_sat_per_kw))
    quote = pricing.Quote(
        base_fee_sat=0,
        lease_fee_sat=fee_sat - open_fee_sat,
        open_fee_sat=open_fee_sat,
        close_fee_sat=0,
        floor_fee_sat=0,
        client_balance_sat=0,
        sat_per_kw=seen.estimate_sat_per_kw,
    )
    return ChannelOrder.objects.create(
        id=uuid4(),
        created_at=now,
        created_height=seen.block_height,
        expires_at=purchase.valid_until,
        door=Door.LSPS2,
        lsp_node_id=seen.pk,
        service=purchase.service,
        lsp_balance_sat=purchase.service.jit_size.channel_sat(size_msat, fee_msat),
        client_balance_sat=0,
        channel_expiry_blocks=purchase.min_lifetime_blocks,
        most_routing_base_msat=purchase.service.most_routing_base_msat,
        most_routing_ppm=purchase.service.most_routing_ppm,
        required_channel_confirmations=0,
        base_fee_sat=quote.base_fee_sat,
        lease_fee_sat=quote.lease_fee_sat,
        open_fee_sat=quote.open_fee_sat,
        close_fee_sat=quote.close_fee_sat,
        floor_fee_sat=quote.floor_fee_sat,
        fee_total_sat=quote.fee_total_sat,
        fee_budget_sat=budget.of(quote),
        order_total_sat=quote.order_total_sat,
        quoted_sat_per_kw=quote.sat_per_kw,
        client_hash=keys.peer_hash(purchase.node_pubkey),
        node_pubkey=purchase.node_pubkey,
        announced_by_purchase=False,
    )
