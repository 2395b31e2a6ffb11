"""The price of a channel: integers in, integers out. No framework, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orders import blocks

#: A funding transaction of two segwit inputs, the P2WSH funding output and P2TR change.
OPEN_VBYTES: Final = 222
#: A cooperative close paying two outputs, a generous size.
CLOSE_VBYTES: Final = 190
#: What puts a signed funding out: one input, one output, generously.
CONFLICT_VBYTES: Final = 130
#: What sends a surplus back: one deposit, to the buyer and to ourselves.
REFUND_VBYTES: Final = 141

_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a service asks for."""

    base_fee_sat: int
    rate_ppm_per_1008_blocks: int
    minimum_fee_sat: int
    #: A shorter term costs as much as this one.
    least_blocks: int = 0


@dataclass(frozen=True, slots=True)
class Quote:
    """Every part of a price, in satoshis."""

    base_fee_sat: int
    lease_fee_sat: int
    open_fee_sat: int
    close_fee_sat: int
    floor_fee_sat: int
    client_balance_sat: int
    #: The node's estimate now, by which a late payment is judged anew; the opening may be in less of a hurry.
    sat_per_kw: int
    #: 0: of an order that was sold, where it is not known any more.
    open_sat_per_kw: int = 0
    #: What a coupon takes off: of what we earn, never of what the chain costs.
    discount_sat: int = 0

    @property
    def fee_total_sat(self) -> int:
        """What we earn and spend: never what is pushed to the client."""
        parts = self.base_fee_sat + self.lease_fee_sat + self.open_fee_sat + self.close_fee_sat
        return parts + self.floor_fee_sat - self.discount_sat

    @property
    def order_total_sat(self) -> int:
        """What the buyer pays."""
        return self.fee_total_sat + self.client_balance_sat


def quote(
    tariff: Tariff,
    *,
    lsp_balance_sat: int,
    client_balance_sat: int,
    channel_expiry_blocks: int,
    sat_per_kw: int,
    open_sat_per_kw: int | None = None,
    open_vbytes: int = OPEN_VBYTES,
    discount_percent: int = 0,
) -> Quote:
    """The price at the node's fee estimate now, of a channel whose funding has so many vbytes.

    base + rate × LSP balance × blocks + the chain cost of opening and, one day, of closing; what is missing
    to the service's minimum fee is a part of its own, so that the parts always add up. A discount is of all but the
    chain costs, rounded down, and leaves at least a satoshi: nothing is for nothing. `open_sat_per_kw`: what a funding
    pays that was promised for later than usual.
    """
    open_sat_per_kw = sat_per_kw if open_sat_per_kw is None else min(sat_per_kw, open_sat_per_kw)
    rate, charged_blocks = tariff.rate_ppm_per_1008_blocks, max(channel_expiry_blocks, tariff.least_blocks)
    lease = _ceil_div(lsp_balance_sat * rate * charged_blocks, _MILLION * blocks.WEEK)
    opening, closing = chain_fee_sat(open_vbytes, open_sat_per_kw), chain_fee_sat(CLOSE_VBYTES, sat_per_kw)
    missing = max(0, tariff.minimum_fee_sat - (tariff.base_fee_sat + lease + opening + closing))
    earned = tariff.base_fee_sat + lease + missing
    return Quote(
        base_fee_sat=tariff.base_fee_sat,
        lease_fee_sat=lease,
        open_fee_sat=opening,
        close_fee_sat=closing,
        floor_fee_sat=missing,
        client_balance_sat=client_balance_sat,
        sat_per_kw=sat_per_kw,
        open_sat_per_kw=open_sat_per_kw,
        discount_sat=max(0, min(earned * discount_percent // 100, earned + opening + closing - 1)),
    )


def fee_at_rate_sat(*, fee_total_sat: int, chain_sat: int, quoted_sat_per_kw: int, sat_per_kw: int) -> int:
    """The fee of a quote whose chain part, quoted at one rate, is paid at another."""
    return fee_total_sat - chain_sat + _ceil_div(chain_sat * sat_per_kw, max(1, quoted_sat_per_kw))


def fee_budget_sat(*, open_fee_sat: int, fee_total_sat: int, percent: int, floor_sat: int) -> int:
    """What an order's transactions may cost together: so much of what it paid for its opening, and never so little
    that an opening paid for at the lowest rates waits for ever; but nothing beyond what we earn with it.
    """
    return min(fee_total_sat, max(open_fee_sat * percent // 100, floor_sat))


def chain_fee_sat(vbytes: int, sat_per_kw: int) -> int:
    """The fee of a transaction, rounded up (1 vbyte is 4 weight units)."""
    return _ceil_div(vbytes * 4 * sat_per_kw, 1000)


def vbytes_paid_for(fee_sat: int, sat_per_kw: int) -> int | None:
    """The size that the fee was reckoned with, exactly where 250 or more were paid for each kWU. None: nobody knows."""
    return fee_sat * 250 // sat_per_kw if sat_per_kw else None


def _ceil_div(value: int, divisor: int) -> int:
    return -(-value // divisor)
