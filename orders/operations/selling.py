"""What a funding would cost from the coins that are left: priced, or not sold. Asks neither node nor database."""

from __future__ import annotations

from typing import Final

from lightning.types import FeeRates
from orders import blocks, pricing
from orders.errors import TooDearToFund
from orders.models import NodeSnapshot
from orders.options import Wanted
from orders.queries import Stock
from orders.wallet import budget, shape

#: More coins than every price has room for.
_MANY: Final = 2


def open_vbytes(wanted: Wanted, seen: NodeSnapshot, stock: Stock) -> int:
    """How big the funding will be that is quoted: as of two coins, or of as many as it takes."""
    made = _funding(wanted.capacity_sat, seen, stock, seen.estimate_sat_per_kw)
    return max(pricing.OPEN_VBYTES, made.vbytes if made else 0)


def require_fundable(wanted: Wanted, quote: pricing.Quote, seen: NodeSnapshot, stock: Stock) -> None:
    """The coins that are left pay for this funding, within what the order pays for it and what is relayed.

    Raises: TooDearToFund.
    """
    rates, budget_sat = FeeRates(quote.open_sat_per_kw, seen.minimum_sat_per_kw), budget.of(quote)
    made = _funding(wanted.capacity_sat, seen, stock, quote.open_sat_per_kw)
    if made is not None and budget.objection(budget_sat, rates, fee_sat=made.fee_sat, vbytes=made.vbytes) is None:
        return
    if made is not None and made.inputs <= _MANY:
        words = "Chain fees are too high to open a channel now; please try again later."
    else:
        words = (
            "Our coins are too small for a channel of this size at today's fees; please ask for a smaller one, or try "
            "again later."
        )
    raise TooDearToFund(words, most_sat=largest_sat(seen, stock), again_in_seconds=blocks.SECONDS)


def largest_sat(seen: NodeSnapshot, stock: Stock) -> int:
    """The largest channel that the coins that are left pay for; 0: none."""
    rate = seen.estimate_sat_per_kw

    def is_sold(made: shape.Draft) -> bool:
        open_fee_sat = pricing.chain_fee_sat(max(pricing.OPEN_VBYTES, made.vbytes), rate)
        is_borne = budget.objection(_NO_BUDGET, _rates(seen), fee_sat=made.fee_sat, vbytes=made.vbytes) is None
        return is_borne and made.pays_sat + open_fee_sat <= stock.available_sat

    left = shape.without(seen.shape, stock.taken_sat)
    return shape.most_sat(left, sat_per_kw=rate, allows=is_sold, up_to_sat=stock.available_sat)


#: What a funding costs is in its price: of who asks for the price, only our own limits can object.
_NO_BUDGET: Final = 21 * 10**14


def _funding(capacity_sat: int, seen: NodeSnapshot, stock: Stock, sat_per_kw: int) -> shape.Draft | None:
    """As it would be made once all that is promised for good is opened; None where too little is left."""
    left = shape.without(seen.shape, stock.taken_sat)
    return shape.draft(left, wanted_sat=capacity_sat, sat_per_kw=sat_per_kw)


def _rates(seen: NodeSnapshot) -> FeeRates:
    return FeeRates(seen.estimate_sat_per_kw, seen.minimum_sat_per_kw)
