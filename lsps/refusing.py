"""Why a request is refused, in the words of bLIP-50, 51, 52 and 55: the one table of codes for every transport."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orders import errors

#: JSON-RPC's own.
NOT_JSON: Final = -32700
NO_REQUEST: Final = -32600
NO_METHOD: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL: Final = -32603
#: Ours, of those that are left to servers: what was asked for cannot be had now.
NOT_AVAILABLE: Final = -32000
#: bLIP-50's: not for whoever asks.
CLIENT_REJECTED: Final = 1
#: bLIP-51's.
OPTION_MISMATCH: Final = 100
NOT_FOUND: Final = 101
TOKEN_UNKNOWN: Final = 102
#: bLIP-52's.
JIT_TOKEN_UNKNOWN: Final = 200
FEE_NOT_PROMISED: Final = 201
PAYMENT_TOO_SMALL: Final = 202
PAYMENT_TOO_LARGE: Final = 203
#: bLIP-55's.
TOO_LONG: Final = 500
URL_UNREADABLE: Final = 501
PROTOCOL_UNSUPPORTED: Final = 502
TOO_MANY_WEBHOOKS: Final = 503
APP_NAME_NOT_FOUND: Final = 1010

#: What bLIP-50, bLIP-51, bLIP-52 and bLIP-55 call these.
TITLES: Final[Mapping[int, str]] = {
    NOT_JSON: "Parse error",
    NO_REQUEST: "Invalid request",
    NO_METHOD: "Method not found",
    INVALID_PARAMS: "Invalid params",
    INTERNAL: "Internal error",
    NOT_AVAILABLE: "Not available now",
    CLIENT_REJECTED: "Client rejected",
    OPTION_MISMATCH: "Option mismatch",
    NOT_FOUND: "Not found",
    TOKEN_UNKNOWN: "Unrecognized or stale token",
    JIT_TOKEN_UNKNOWN: "unrecognized_or_stale_token",
    FEE_NOT_PROMISED: "invalid_opening_fee_params",
    PAYMENT_TOO_SMALL: "payment_size_too_small",
    PAYMENT_TOO_LARGE: "payment_size_too_large",
    TOO_LONG: "too_long",
    URL_UNREADABLE: "url_parse_error",
    PROTOCOL_UNSUPPORTED: "unsupported_protocol",
    TOO_MANY_WEBHOOKS: "too_many_webhooks",
    APP_NAME_NOT_FOUND: "app_name_not_found",
}


@dataclass(eq=False)
class Refusal(Exception):
    """A request that is refused, as every transport says it."""

    code: int
    #: One sentence for people.
    sentence: str
    #: The parameter (INVALID_PARAMS), or the option (OPTION_MISMATCH), that it is about.
    about: str = ""
    #: Parameters that the method does not have.
    unrecognized: tuple[str, ...] = ()
    again_in_seconds: int | None = None
    #: What bLIP-55 has besides in `data`.
    facts: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.sentence

    @property
    def title(self) -> str:
        """What the code means."""
        return TITLES[self.code]

    @property
    def data(self) -> dict[str, Any]:
        """What stands in the error's `data`: bLIP-50 asks for `unrecognized`, bLIP-51 for the others."""
        said: dict[str, Any] = {"property": self.about} if self.about else {}
        said["message"] = self.sentence
        if self.code == INVALID_PARAMS:
            said["unrecognized"] = list(self.unrecognized)
        return {**said, **self.facts}

    @property
    def error(self) -> dict[str, Any]:
        """The error object of JSON-RPC."""
        return {"code": self.code, "message": self.title, "data": self.data}


def invalid(parameter: str, rule: str) -> Refusal:
    """The parameter is missing, or its value breaks the rule."""
    return Refusal(INVALID_PARAMS, f"{parameter} {rule}.", parameter)


def unrecognized(names: Iterable[str]) -> Refusal:
    """The method has no parameters of these names."""
    unknown = tuple(sorted(names))
    return Refusal(INVALID_PARAMS, f"There is no parameter {', '.join(unknown)}.", unrecognized=unknown)


def mismatch(option: str, rule: str) -> Refusal:
    """What was asked for is beyond an option of get_info."""
    return Refusal(OPTION_MISMATCH, rule, option)


#: Code of what the domain refuses; a class that is not here has that of the nearest that it is one of.
_CODES: Final[Mapping[type[errors.OrderError], int]] = {
    errors.OrderError: CLIENT_REJECTED,
    errors.InvalidField: INVALID_PARAMS,
    errors.OutOfRange: OPTION_MISMATCH,
    errors.ClientSideTooLarge: OPTION_MISMATCH,
    errors.NotServed: CLIENT_REJECTED,
    errors.NodeFull: CLIENT_REJECTED,
    errors.OrderNotFound: NOT_FOUND,
    errors.TokenNotTaken: TOKEN_UNKNOWN,
    errors.WouldNotOpen: CLIENT_REJECTED,
    errors.KeyReused: INVALID_PARAMS,
    errors.KeyInFlight: INVALID_PARAMS,
    errors.TooManyOrders: CLIENT_REJECTED,
    errors.NotAvailable: NOT_AVAILABLE,
    errors.FeeNotPromised: FEE_NOT_PROMISED,
    errors.PaymentTooSmall: PAYMENT_TOO_SMALL,
    errors.PaymentTooLarge: PAYMENT_TOO_LARGE,
}
#: What the domain names, by bLIP-51's names; what is not here has the same.
PARAMETERS: Final[Mapping[str, str]] = {
    "node": "public_key",
    "refund_address": "refund_onchain_address",
    "announced": "announce_channel",
    "capacity_sat": "lsp_balance_sat",
}


def of(error: errors.OrderError) -> Refusal:
    """The domain's refusal, as a wallet that speaks LSPS1 reads it."""
    code = next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)
    named, sentence = _worded(error)
    return Refusal(code, sentence or error.message, named, again_in_seconds=error.again_in_seconds)


def _worded(error: errors.OrderError) -> tuple[str, str]:
    """The parameter or option by bLIP-51's name, and a sentence where ours has other names."""
    match error:
        case errors.OutOfRange():
            return _option(error)
        case errors.ClientSideTooLarge():
            return "max_initial_client_balance_sat", "client_balance_sat must be less than lsp_balance_sat."
        case errors.NotEnoughCoins():
            return "max_channel_balance_sat", ""
        case errors.KeyReused() | errors.KeyInFlight():
            return "Idempotency-Key", ""
        case errors.OrderNotFound():
            return "order_id", ""
        case errors.InvalidField():
            return PARAMETERS.get(error.field, error.field), ""
    return "", ""


def _option(error: errors.OutOfRange) -> tuple[str, str]:
    end, bound = ("min", error.least) if error.is_too_small else ("max", error.most)
    option = {
        "lsp_balance_sat": f"{end}_initial_lsp_balance_sat",
        "client_balance_sat": f"{end}_initial_client_balance_sat",
        "capacity_sat": f"{end}_channel_balance_sat",
        "channel_expiry_blocks": f"{end}_channel_expiry_blocks",
    }[error.field]
    named = "Both sides together" if error.field == "capacity_sat" else error.field
    return option, f"{named} must be at {'least' if end == 'min' else 'most'} {bound}."
