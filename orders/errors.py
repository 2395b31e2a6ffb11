"""What can be wrong with a request: the class says which rule it breaks, and the facts are in our own words.

Each door (`orders.api`, later others) maps them in one place to its own names, sentences and numbers; staff and
commands read the message as it is.
"""

from __future__ import annotations

from typing import Final

from django.db import InterfaceError, InternalError, OperationalError

#: The database's own trouble, and nobody's defect: it is away, it hangs up, or it is a standby that cannot be written
#: or a transaction whose time was over (PostgreSQL's class 25, which the driver calls internal).
DATABASE_TROUBLE: Final = (OperationalError, InterfaceError, InternalError)


class OrderError(Exception):
    """A request that we refuse. The message is for people."""

    #: By then it may be worth asking again; None: waiting alone changes nothing.
    again_in_seconds: int | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidField(OrderError):
    """A value that we do not take; `field` is our name of it."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class NotServed(InvalidField):
    """A node or an address that is listed as one that we do not serve. Why it is listed is for staff alone."""


class NodeFull(InvalidField):
    """The node would have more of us than one node may."""


class WouldNotOpen(InvalidField):
    """The buyer's node would not take this channel; `code` is the word that an attempt would fail with."""

    def __init__(self, message: str, *, field: str, code: str, works: int | bool | None) -> None:
        super().__init__(message, field=field)
        self.code, self.works = code, works


class OutOfRange(InvalidField):
    """A number outside of what is on offer."""

    def __init__(self, field: str, value: int, *, least: int, most: int) -> None:
        super().__init__(f"{field} is {value:,}: it must be from {least:,} to {most:,}.", field=field)
        self.least, self.most = least, most
        self.is_too_small = value < least


class ClientSideTooLarge(InvalidField):
    """The client's side is to be less than ours: we sell what can be received."""

    def __init__(self) -> None:
        super().__init__("client_balance_sat must be less than lsp_balance_sat.", field="client_balance_sat")


class ServiceNotFound(OrderError):
    """There is no such service, or it is not on sale."""


class TokenNotTaken(InvalidField):
    """What was shown with the purchase is neither a coupon that is valid now nor a name that we know.

    It is never passed over: they count on what it would have brought.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, field="token")


class FeeNotPromised(OrderError):
    """Nobody has promised these parameters of a fee to who shows them, or they hold no more."""


class PaymentTooSmall(OrderError):
    """A channel that opens for a payment of this size is not sold: it is too small, or all of it would be our fee."""


class PaymentTooLarge(OrderError):
    """A channel that opens for a payment of this size is not sold, or cannot be: it is too large."""


class OrderNotFound(OrderError):
    """There is no such order."""

    def __init__(self, message: str = "Order not found.") -> None:
        super().__init__(message)


class Ambiguous(OrderError):
    """What was asked for is several orders."""


class NotClaimable(OrderError):
    """The order cannot be claimed: not paid, over, or an opening has begun for another node."""


class ClaimStands(NotClaimable):
    """Only the order's token changes the claim now; the order's id alone does not."""


class NotPossible(OrderError):
    """The order's state does not allow what was asked."""


class NotAllowed(OrderError):
    """Not for whoever asks."""


class TokenNeeded(NotAllowed):
    """Who knows the order's id alone may not do this."""


class WrongToken(NotAllowed):
    """What was shown is not the order's token."""

    def __init__(self) -> None:
        super().__init__("This is not the order's token.")


class KeyReused(OrderError):
    """The idempotency key belongs to another request."""


class KeyInFlight(OrderError):
    """The first request with this idempotency key has not been answered yet."""

    again_in_seconds = 1


class TooManyOrders(OrderError):
    """This client has too many unpaid orders, or keeps too much waiting."""

    again_in_seconds = 60


class NotAvailable(OrderError):
    """We cannot sell this now: the node cannot be reached, nothing is on sale, or as the class says."""

    again_in_seconds = 60


class NodeBusy(NotAvailable):
    """As many requests wait for the node as may."""

    again_in_seconds = 5


class Behind(NotAvailable):
    """Payments wait for us: who has paid comes before who would buy."""

    again_in_seconds = 2


class KeptWaiting(TooManyOrders):
    """This client keeps too much waiting, unpaid or unclaimed."""

    again_in_seconds = 600


class NotEnoughCoins(NotAvailable):
    """Our coins do not suffice for a channel of this size now; for one of `most_sat` they do."""

    def __init__(self, message: str, *, most_sat: int, again_in_seconds: int) -> None:
        super().__init__(message)
        self.most_sat = most_sat
        self.again_in_seconds = again_in_seconds


class TooDearToFund(NotEnoughCoins):
    """Our coins suffice, but the transaction that pays with them would be too dear, or too big to be relayed."""


class SalesPaused(NotAvailable):
    """Staff have stopped the sales; the reason they gave is for buyers to read."""

    again_in_seconds = 300
