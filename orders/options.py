"""What we offer, and whether a request fits into it: pure. No framework, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orders import blocks
from orders.errors import ClientSideTooLarge, OutOfRange

#: LND's smallest channel, and the most satoshis there can be.
NODE_MIN_CHANNEL_SAT: Final = 20_000
MAX_MONEY_SAT: Final = 21_000_000 * 100_000_000
#: No service sells longer than ten years.
MAX_EXPIRY_BLOCKS: Final = 520 * blocks.WEEK


@dataclass(frozen=True, slots=True)
class Limits:
    """The sizes and terms that a service sells."""

    min_channel_sat: int
    max_channel_sat: int
    max_client_balance_sat: int
    min_expiry_blocks: int
    max_expiry_blocks: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """The channel that a buyer asks for."""

    lsp_balance_sat: int
    client_balance_sat: int
    channel_expiry_blocks: int

    @property
    def capacity_sat(self) -> int:
        """Both sides together: what our coins have to fund."""
        return self.lsp_balance_sat + self.client_balance_sat


def check(wanted: Wanted, limits: Limits) -> None:
    """`wanted` is on offer.

    Raises: OutOfRange with the limits, ClientSideTooLarge.
    """
    _require("lsp_balance_sat", wanted.lsp_balance_sat, least=1)
    _require("client_balance_sat", wanted.client_balance_sat, least=0, most=limits.max_client_balance_sat)
    if wanted.client_balance_sat >= wanted.lsp_balance_sat:
        raise ClientSideTooLarge
    _require("capacity_sat", wanted.capacity_sat, least=limits.min_channel_sat, most=limits.max_channel_sat)
    _require(
        "channel_expiry_blocks",
        wanted.channel_expiry_blocks,
        least=limits.min_expiry_blocks,
        most=limits.max_expiry_blocks,
    )


def _require(field: str, value: int, *, least: int, most: int = MAX_MONEY_SAT) -> None:
    if not least <= value <= most:
        raise OutOfRange(field, value, least=least, most=most)


def announced(*, by_claim: bool | None, by_purchase: bool | None, by_service: bool) -> bool:
    """Whether the channel is public: the claim overrides the purchase, which overrides the service."""
    if by_claim is not None:
        return by_claim
    return by_service if by_purchase is None else by_purchase
