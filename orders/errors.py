"""What can be wrong with a request, each error naming the field and the rule.

The API maps them in one place (orders.api.errors); nobody else catches them.
"""

from __future__ import annotations

from typing import ClassVar, Final

from django.db import InterfaceError, InternalError, OperationalError

#: The database's own trouble, and nobody's defect: it is away, it hangs up, or it is a standby that cannot be written
#: or a transaction whose time was over (PostgreSQL's class 25, which the driver calls internal).
DATABASE_TROUBLE: Final = (OperationalError, InterfaceError, InternalError)


class OrderError(Exception):
    """A request that we refuse. `code` is for machines, the message for people."""

    code: ClassVar[str] = "refused"
    http_status: ClassVar[int] = 400
    retry_after_seconds: ClassVar[int | None] = None

    def __init__(self, message: str, *, field: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.error_code = code or self.code


class InvalidField(OrderError):
    """A value that is malformed or outside of what we offer."""

    code = "invalid"


class OrderNotFound(OrderError):
    """There is no such order."""

    code = "order_not_found"
    http_status = 404

    def __init__(self, message: str = "Order not found.", *, field: str | None = "order_id") -> None:
        super().__init__(message, field=field)


class NotClaimable(OrderError):
    """The order cannot be claimed: not paid, over, or an opening has begun for another node."""

    code = "not_claimable"
    http_status = 409


class NotPossible(OrderError):
    """The order's state does not allow what was asked."""

    code = "not_possible"
    http_status = 409


class NotAllowed(OrderError):
    """Not for whoever asks."""

    code = "not_allowed"
    http_status = 403


class WrongToken(NotAllowed):
    """What was shown is not the order's token."""

    code = "wrong_token"

    def __init__(self) -> None:
        super().__init__("This is not the order's token.", field="order_token")


class KeyReused(OrderError):
    """The idempotency key belongs to another request."""

    code = "idempotency_key_reused"
    http_status = 422


class KeyInFlight(OrderError):
    """The first request with this idempotency key has not been answered yet."""

    code = "idempotency_key_in_flight"
    http_status = 409
    retry_after_seconds = 1


class TooManyOrders(OrderError):
    """This client has too many unpaid orders."""

    code = "too_many_unpaid_orders"
    http_status = 429
    retry_after_seconds = 60


class NotAvailable(OrderError):
    """We cannot sell this now: coins are short, or the node cannot be reached."""

    code = "not_available"
    http_status = 503
    retry_after_seconds = 60


class SalesPaused(NotAvailable):
    """Staff have stopped the sales; the reason they gave is for buyers to read."""

    retry_after_seconds = 300
