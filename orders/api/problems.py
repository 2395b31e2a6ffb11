"""Why a request is refused, in v1's words: the one table of its statuses, codes, names of fields and sentences.

The domain's errors (`orders.errors`) name what we call things; v1's clients know other names, and weeks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orders import errors
from orders.api import weeks


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request was refused."""

    http_status: int
    code: str
    message: str
    field: str | None = None
    retry_after_seconds: int | None = None

    @property
    def told(self) -> dict[str, str | None]:
        """As the body of an answer has it."""
        return {"error": self.message, "code": self.code, "field": self.field}


class Unreadable(Exception):
    """What was sent cannot be taken to the domain: this door says so itself, by its own names."""

    def __init__(self, message: str, *, field: str | None = None, code: str = "invalid") -> None:
        super().__init__(message)
        self.problem = Problem(400, code, message, field)


#: Status and code of what the domain refuses; a class that is not here has those of the nearest that it is one of.
_CODES: Final[Mapping[type[errors.OrderError], tuple[int, str]]] = {
    errors.OrderError: (400, "refused"),
    errors.InvalidField: (400, "invalid"),
    errors.NotServed: (403, "not_served"),
    errors.NodeFull: (409, "node_limit"),
    errors.WouldNotOpen: (409, "would_not_open"),
    errors.TokenNotTaken: (400, "coupon_not_taken"),
    errors.ServiceNotFound: (400, "product_not_found"),
    errors.OrderNotFound: (404, "order_not_found"),
    errors.NotClaimable: (409, "not_claimable"),
    errors.NotPossible: (409, "not_possible"),
    errors.NotAllowed: (403, "not_allowed"),
    errors.WrongToken: (403, "wrong_token"),
    errors.KeyReused: (422, "idempotency_key_reused"),
    errors.KeyInFlight: (409, "idempotency_key_in_flight"),
    errors.TooManyOrders: (429, "too_many_unpaid_orders"),
    errors.KeptWaiting: (429, "too_much_waits"),
    errors.NotAvailable: (503, "not_available"),
}


#: What a preflight names, by v1's names.
WARNED_FIELDS: Final[Mapping[str, str | None]] = {
    "node": "node_uri",
    "capacity_sat": "local_balance",
    "announced": "private",
    "client_balance_sat": "remote_balance",
    "required_channel_confirmations": None,
}


def works(field: str, value: int | bool | None, *, client_balance_sat: int) -> int | bool | None:
    """What would work, of v1's field: `private` is the other way round, and `local_balance` is not all of a channel."""
    if value is None or WARNED_FIELDS[field] is None:
        return None
    if field == "announced":
        return not value
    return value - client_balance_sat if field == "capacity_sat" else value


def of(error: errors.OrderError) -> Problem:
    """The refusal as a client of v1 reads it."""
    http_status, code = next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)
    field, sentence = _worded(error)
    return Problem(http_status, code, sentence or error.message, field, error.again_in_seconds)


def _worded(error: errors.OrderError) -> tuple[str | None, str]:
    """The field by v1's name, and v1's sentence where ours has names of our own."""
    match error:
        case errors.OutOfRange():
            return _out_of_range(error)
        case errors.ClientSideTooLarge():
            return "remote_balance", "local_balance must be more than remote_balance."
        case errors.ServiceNotFound():
            return "product_id", "There is no such product on sale."
        case errors.NotEnoughCoins():
            return "local_balance", ""
        case errors.WrongToken() | errors.TokenNeeded() | errors.ClaimStands():
            return "order_token", ""
        case errors.OrderNotFound() | errors.NotClaimable() | errors.NotPossible():
            return "order_id", ""
        case errors.KeyReused() | errors.KeyInFlight():
            return "Idempotency-Key", ""
        case errors.TokenNotTaken():
            return "coupon", ""
        case errors.WouldNotOpen():
            return WARNED_FIELDS[error.field], ""
        case errors.InvalidField(field="node"):
            return "node_uri", ""
        case errors.InvalidField(field="refund_address"):
            return "refund_onchain_address", ""
    return None, ""


def _out_of_range(error: errors.OutOfRange) -> tuple[str | None, str]:
    match error.field, error.is_too_small:
        case "lsp_balance_sat", _:
            return "local_balance", "local_balance must be more than 0."
        case "client_balance_sat", True:
            return "remote_balance", "remote_balance must not be negative."
        case "client_balance_sat", False:
            return "remote_balance", f"remote_balance must not be more than {error.most}."
        case "capacity_sat", True:
            return "local_balance", f"The channel must have at least {error.least} satoshis."
        case "capacity_sat", False:
            return "local_balance", f"The channel must not have more than {error.most} satoshis."
        case "channel_expiry_blocks", _:
            least, most = weeks.begun(error.least), weeks.whole(error.most)
            return "channel_expiry", f"channel_expiry must be from {least} to {most} weeks."
    return None, ""
