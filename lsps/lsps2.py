"""LSPS2's words: what a request means, and what is offered and sold as bLIP-52 tells it. Pure.

Amounts are strings of millisatoshis, times are UTC with milliseconds, shares are in millionths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from lsps.lsps1 import TOKEN_LENGTH, moment
from lsps.reading import UINT32, Params
from orders.jit.promises import FeeParameters, Offer
from orders.models import JitPurchase

#: bLIP-52: no more than this, of printable ASCII.
_PROMISE_LENGTH: Final = 512
_PARAMETERS: Final = frozenset(
    {
        "min_fee_msat",
        "proportional",
        "valid_until",
        "min_lifetime",
        "max_client_to_self_delay",
        "min_payment_size_msat",
        "max_payment_size_msat",
        "promise",
    }
)


@dataclass(frozen=True, slots=True)
class Buy:
    """What buy asks for."""

    parameters: FeeParameters
    promise: str
    payment_size_msat: int | None


def read_get_info(sent: Any) -> str:
    """The token; "" where there is none. Raises: Refusal."""
    return Params(sent, {"token"}).text("token", longest=TOKEN_LENGTH)


def read_buy(sent: Any) -> Buy:
    """Raises: Refusal that names the parameter."""
    params = Params(sent, {"opening_fee_params", "payment_size_msat"})
    shown = params.within("opening_fee_params", _PARAMETERS)
    said = FeeParameters(
        min_fee_msat=shown.msat("min_fee_msat"),
        proportional_ppm=shown.number("proportional", most=UINT32),
        valid_until=shown.moment("valid_until"),
        min_lifetime_blocks=shown.number("min_lifetime", most=UINT32),
        max_client_to_self_delay=shown.number("max_client_to_self_delay", most=UINT32),
        min_payment_size_msat=shown.msat("min_payment_size_msat"),
        max_payment_size_msat=shown.msat("max_payment_size_msat"),
    )
    return Buy(said, shown.filled("promise", longest=_PROMISE_LENGTH), params.maybe_msat("payment_size_msat"))


def info(offers: list[Offer]) -> dict[str, Any]:
    """The answer to get_info: of each exactly what bLIP-52 has, since wallets take no more."""
    return {"opening_fee_params_menu": [_entry(offer) for offer in offers]}


def _entry(offer: Offer) -> dict[str, Any]:
    said = offer.parameters
    return {
        "min_fee_msat": str(said.min_fee_msat),
        "proportional": said.proportional_ppm,
        "valid_until": moment(said.valid_until),
        "min_lifetime": said.min_lifetime_blocks,
        "max_client_to_self_delay": said.max_client_to_self_delay,
        "min_payment_size_msat": str(said.min_payment_size_msat),
        "max_payment_size_msat": str(said.max_payment_size_msat),
        "promise": offer.promise,
    }


def bought(purchase: JitPurchase) -> dict[str, Any]:
    """The answer to buy."""
    return {
        "jit_channel_scid": purchase.scid,
        "lsp_cltv_expiry_delta": purchase.cltv_expiry_delta,
        "client_trusts_lsp": purchase.client_trusts_lsp,
    }
