"""What an order's own transactions may cost in fees: fixed when it was quoted, from what it pays."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db.models import Sum

from lightning.types import FeeRates
from orders import marks, pricing
from orders.models import ChannelOrder, TransactionKind, WalletTransaction
from orders.states import TransactionState

#: Nobody relays a bigger transaction, whatever it pays.
MOST_VBYTES: Final = 100_000


def of(quote: pricing.Quote) -> int:
    """The budget of an order that is sold for this price."""
    return pricing.fee_budget_sat(
        open_fee_sat=quote.open_fee_sat,
        fee_total_sat=quote.fee_total_sat,
        percent=settings.FEE_BUDGET_PERCENT,
        floor_sat=settings.FEE_BUDGET_FLOOR_SAT,
    )


def left_sat(order: ChannelOrder) -> int:
    """What the order may still cost. Of all that was signed for it, what put an earlier funding out has cost something;
    below 0 where that had to cost more than there was.
    """
    label = marks.label(TransactionKind.CONFLICT, order.pk)
    paid = WalletTransaction.objects.filter(label=label, state=TransactionState.DEEP).aggregate(sat=Sum("fee_sat"))
    return order.fee_budget_sat - int(paid["sat"] or 0)


def put_out_sat(rates: FeeRates) -> int:
    """The conflict's share: what it costs to put a funding out at these rates."""
    return pricing.chain_fee_sat(pricing.CONFLICT_VBYTES, max(rates.estimate_sat_per_kw, rates.minimum_sat_per_kw))


def objection(left_sat: int, rates: FeeRates, *, fee_sat: int, vbytes: int) -> tuple[str, str] | None:
    """Why a funding of this size and fee is not made now: (reason, detail); None: it may be.

    Money: what would put it out again is set aside first, so that neither costs more than the order has paid for.
    """
    if vbytes > MOST_VBYTES:
        return "FEE_TOO_HIGH", f"With {vbytes} vbytes the funding transaction is too big to relay."
    aside_sat = put_out_sat(rates)
    if fee_sat + aside_sat > left_sat:
        words = f"The funding transaction would cost {fee_sat} sat, and {aside_sat} sat are kept to put it out:"
        return "FEE_ABOVE_BUDGET", f"{words} {max(0, left_sat)} sat of the order's fee budget are left."
    if fee_sat > settings.MAX_FUNDING_FEE_SAT:
        return "FEE_TOO_HIGH", f"The funding transaction would cost {fee_sat} sat."
    return None


def for_child_sat(order: ChannelOrder, funding: WalletTransaction) -> int:
    """What a child of the published funding may cost: it cannot be put out any more, so all that is left."""
    return min(settings.MAX_FUNDING_FEE_SAT, left_sat(order) - funding.fee_sat)
