"""What came for an order, and what of it is still the buyer's, by our records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from django.conf import settings

from orders.models import ChannelOrder, HoldInvoice, OnchainPayment
from orders.models.order import Rail
from orders.states import At, InvoiceState, OpeningState, OrderState

#: An order whose Lightning payment is ours, and whose channel is no more, or is not there: it may go back on chain.
_UNSERVED: Final = frozenset(set(OrderState) - {OrderState.OPENING, OrderState.OPEN, OrderState.CLOSING})


@dataclass(frozen=True, slots=True)
class Money:
    """Amounts of one order at one depth."""

    owed_sat: int
    #: At the node, and still the buyer's.
    held_sat: int
    #: Held, ours, or on chain as deep as was asked.
    received_sat: int

    @property
    def is_covered(self) -> bool:
        """What came pays the order."""
        return self.received_sat >= self.owed_sat

    @property
    def surplus_sat(self) -> int:
        """What came beyond what is owed."""
        return max(0, self.received_sat - self.owed_sat)


def of(order: ChannelOrder, at: At, *, rail: Rail | None = None) -> Money:
    """The order's money that is `at` least so far on its way to us, by one rail or by all."""
    rows = [row for row in order.payments if rail in {None, row.rail}]
    return Money(
        owed_sat=owed_sat(order),
        held_sat=sum(row.held_back_sat for row in rows),
        received_sat=_received_sat(order, rows, at),
    )


def received_sat(order: ChannelOrder, at: At, *, rail: Rail) -> int:
    """What of one rail is `at` least so far on its way to us; as `of`, for who need not know what is owed."""
    return _received_sat(order, [row for row in order.payments if row.rail == rail], at)


def _received_sat(order: ChannelOrder, rows: Iterable[HoldInvoice | OnchainPayment], at: At) -> int:
    height = order.lsp_node.deposits_height if at is At.DEEP else 0
    depth = required_confirmations(order)
    return sum(row.received_sat(at, height=height, depth=depth) for row in rows)


def owed_sat(order: ChannelOrder) -> int:
    """What the order costs: its price, and what was added to its channel of what came beyond that."""
    return order.order_total_sat + added_sat(order)


def added_sat(order: ChannelOrder) -> int:
    """What of a surplus is in the channel that is being opened, or is open, on the buyer's side."""
    if not order.counted_payment:  # nothing was ever opened
        return 0
    return sum(row.surplus_sat for row in order.openings.all() if row.state != OpeningState.FAILED)


def required_confirmations(order: ChannelOrder) -> int:
    """How deep a deposit must be to count: deeper where much of it is pushed straight to the buyer.

    What we push can be spent by the buyer at once, so a taken-back deposit would cost that much more.
    """
    base: int = settings.ONCHAIN_CONFIRMATIONS
    return max(base, min(6, base + order.client_balance_sat // 5_000_000))


def may_go_back(order: ChannelOrder) -> bool:
    """The order may have refunds: of most nothing ever goes back on chain, and the database is not asked for any."""
    if order.onchain_payments.all():
        return True
    invoice = order.invoice
    if invoice is None or order.counted_payment != Rail.LIGHTNING:
        return False
    is_ours = invoice.state == InvoiceState.SETTLED
    return invoice.held_sat > owed_sat(order) or (is_ours and order.state in _UNSERVED)
