"""How much we sell in one channel, and to one node: in satoshis, and in the operator's currency at a known rate."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from orders import rates
from orders.errors import NodeFull, NotAvailable, OutOfRange
from orders.models import ChannelOpening, ChannelOrder
from orders.states import LIVE_OPENINGS, Firmness, OpeningState, OrderState

#: A channel that we sold is there, or comes to be.
_TAKEN: Final = frozenset({OrderState.URI_SET, OrderState.OPENING, OrderState.OPEN, OrderState.CLOSING})


def require_channel(capacity_sat: int) -> None:
    """One channel may be so large, beside what its service says. Raises: OutOfRange, NotAvailable (no rate)."""
    if not settings.MOST_CHANNEL_IN_CURRENCY:
        return
    most_sat = rates.in_sat(settings.MOST_CHANNEL_IN_CURRENCY)
    if capacity_sat > most_sat:
        raise OutOfRange("capacity_sat", capacity_sat, least=1, most=most_sat)


def most_node_sat() -> int | None:
    """What one node may have of us; None: there is no limit. Raises: NotAvailable (no rate)."""
    limits = [settings.MOST_NODE_SAT] if settings.MOST_NODE_SAT else []
    if settings.MOST_NODE_IN_CURRENCY:
        limits.append(rates.in_sat(settings.MOST_NODE_IN_CURRENCY))
    return min(limits, default=None)


def require_node(pubkey: str, capacity_sat: int, most_sat: int | None, *, besides: ChannelOrder | None = None) -> None:
    """The node may have a channel of this size more: with what it has of us, and what it has answered to.

    Raises: NodeFull.
    """
    if most_sat is None:
        return
    orders = _taken(pubkey)
    if besides is not None:
        orders = orders.exclude(pk=besides.pk)
    if _sum_sat(orders) + capacity_sat > most_sat:
        words = f"We open channels of at most {most_sat} satoshis together to one node, and this would be more."
        raise NodeFull(words, field="node")


def is_over(order: ChannelOrder) -> bool:
    """The claimed order is beyond what its node may have, after those whose attempts have begun or that go before it.

    Asked before each attempt, and by who begins one once more: several may be claimed, and which of them the node
    answers to is known then.
    Raises: NotAvailable (no rate).
    """
    most_sat = most_node_sat()
    if most_sat is None:
        return False
    at = order.claimed_at or timezone.now()
    before = Q(claimed_at__lt=at) | Q(claimed_at=at, pk__lt=order.pk)
    orders = _taken(order.node_pubkey).exclude(pk=order.pk)
    others = orders.filter(before | ~Q(state=OrderState.URI_SET) | _is_begun())
    return _sum_sat(others) + order.capacity_sat > most_sat


def _taken(pubkey: str) -> QuerySet[ChannelOrder]:
    """What the node has of us, or comes to have.

    Of what is claimed for it only what it has answered to: anybody may name a node that is not his, at a host that
    nobody answers at, and take its room by a payment that goes back.
    """
    orders = ChannelOrder.objects.filter(node_pubkey=pubkey, state__in=_TAKEN)
    has_answered = Q(reservation__firmness=Firmness.REACHED) | _is_begun()
    return orders.filter(~Q(state=OrderState.URI_SET) | has_answered)


def _is_begun() -> Q:
    return Q(Exists(ChannelOpening.objects.filter(order=OuterRef("pk"), state__in=LIVE_OPENINGS)))


def allow_more(order: ChannelOrder, more_sat: int) -> bool:
    """The order's channel, and all of its node, may be so much larger than was sold; not where no rate is known."""
    wanted_sat = order.capacity_sat + more_sat
    try:
        require_channel(wanted_sat)
        require_node(order.node_pubkey, wanted_sat, most_node_sat(), besides=order)
    except (OutOfRange, NodeFull, NotAvailable):
        return False
    return True


def _sum_sat(orders: QuerySet[ChannelOrder]) -> int:
    """What was sold, and what was added to it since more was paid."""
    sold_sat = orders.aggregate(sum=Sum(F("lsp_balance_sat") + F("client_balance_sat")))["sum"] or 0
    attempts = ChannelOpening.objects.filter(order__in=orders).exclude(state=OpeningState.FAILED)
    return sold_sat + (attempts.aggregate(sum=Sum("surplus_sat"))["sum"] or 0)
