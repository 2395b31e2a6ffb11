"""Whether an order is one that we serve, by the list of those that we do not: asked here by everybody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db.models import Q
from django.utils import timezone

from orders import barring, money
from orders.barring import Asked, BanKind, Listed
from orders.models import Ban, ChannelOrder, OnchainPayment
from orders.models.order import Rail
from orders.states import At, DepositState, OrderState


def standing(*kinds: BanKind) -> list[Listed]:
    """What is listed now, of these kinds."""
    rows = Ban.objects.filter(Q(until=None) | Q(until__gt=timezone.now()), lifted_at=None, kind__in=kinds)
    return [Listed(kind, value) for kind, value in rows.values_list("kind", "value")]


def objection(asked: Asked) -> BanKind | None:
    """What of it is listed now; None: it is served."""
    kinds = barring.kinds(asked)
    return barring.objection(asked, standing(*kinds)) if kinds else None


def bars_node(order: ChannelOrder) -> bool:
    """The claimed order's node, or its host, is listed."""
    if order.state != OrderState.URI_SET:
        return False
    return objection(Asked(node=order.node_pubkey, host=order.node_host)) is not None


def bars_payment(order: ChannelOrder) -> bool:
    """Without what listed payers have paid on chain the order is not paid: it can only go back.

    Only what is needed counts so: else a stranger could end an order by a deposit of his own to its address.
    """
    rows = [row for row in order.onchain_payments.all() if row.state != DepositState.VANISHED]
    if order.counted_payment == Rail.LIGHTNING:
        return False
    served = clean(rows)
    return len(served) < len(rows) and deep_sat(order, served) < order.order_total_sat


def clean(rows: Sequence[OnchainPayment]) -> Sequence[OnchainPayment]:
    """Those of the deposits that no listed payer has paid, as far as it is known who has."""
    if not any(row.payers for row in rows):
        return rows
    listed = standing(BanKind.PAYER)
    return [row for row in rows if barring.objection(Asked(payers=row.payers or ()), listed) is None]


def deep_sat(order: ChannelOrder, rows: Iterable[OnchainPayment]) -> int:
    """What of these deposits is as deep as counts; all of it, once the order is paid."""
    if order.counted_payment:
        return sum(row.amount_sat for row in rows)
    height, depth = order.lsp_node.deposits_height, money.required_confirmations(order)
    return sum(row.received_sat(At.DEEP, height=height, depth=depth) for row in rows)


def bars_refund(order: ChannelOrder) -> bool:
    """Where the order's money is to go back to is listed."""
    return bool(order.refund_address) and objection(Asked(refund_address=order.refund_address)) is not None
