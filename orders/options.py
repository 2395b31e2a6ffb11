"""What we offer, and whether a request fits into it: pure. No framework, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orders.errors import InvalidField

#: LND's smallest channel, and the most satoshis there can be.
NODE_MIN_CHANNEL_SAT: Final = 20_000
MAX_MONEY_SAT: Final = 21_000_000 * 100_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The sizes and terms that a service sells."""

    min_channel_sat: int
    max_channel_sat: int
    max_client_balance_sat: int
    min_weeks: int
    max_weeks: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """The channel that a buyer asks for, in the service's terms."""

    lsp_balance_sat: int
    client_balance_sat: int
    weeks: int

    @property
    def capacity_sat(self) -> int:
        """Both sides together: what our coins have to fund."""
        return self.lsp_balance_sat + self.client_balance_sat


#: The wire's names of the fields, used in errors: a wallet's developer knows no others.
LOCAL, REMOTE, EXPIRY = "local_balance", "remote_balance", "channel_expiry"


def check(wanted: Wanted, limits: Limits) -> None:
    """`wanted` is on offer.

    Raises: InvalidField naming the field and the limit.
    """
    _require(wanted.client_balance_sat >= 0, REMOTE, "remote_balance must not be negative.")
    _require(wanted.lsp_balance_sat > 0, LOCAL, "local_balance must be more than 0.")
    _require(
        wanted.client_balance_sat <= limits.max_client_balance_sat,
        REMOTE,
        f"remote_balance must not be more than {limits.max_client_balance_sat}.",
    )
    _require(
        wanted.client_balance_sat < wanted.lsp_balance_sat,
        REMOTE,
        "local_balance must be more than remote_balance.",
    )
    _require(
        limits.min_channel_sat <= wanted.capacity_sat,
        LOCAL,
        f"The channel must have at least {limits.min_channel_sat} satoshis.",
    )
    _require(
        wanted.capacity_sat <= limits.max_channel_sat,
        LOCAL,
        f"The channel must not have more than {limits.max_channel_sat} satoshis.",
    )
    _require(
        limits.min_weeks <= wanted.weeks <= limits.max_weeks,
        EXPIRY,
        f"channel_expiry must be from {limits.min_weeks} to {limits.max_weeks} weeks.",
    )


def announced(*, by_claim: bool | None, by_purchase: bool | None, by_service: bool) -> bool:
    """Whether the channel is public: the claim overrides the purchase, which overrides the service."""
    if by_claim is not None:
        return by_claim
    return by_service if by_purchase is None else by_purchase


def _require(holds: bool, field: str, message: str) -> None:
    if not holds:
        raise InvalidField(message, field=field)
