"""Every state there is, and every move between them. No I/O.

Spec: OrderStates. The numbers are those that the first server of this API published.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _


class OrderState(models.TextChoices):
    """Where an order is."""

    CREATED = "created", _("Created")
    PAID = "paid", _("Paid")
    REFUNDED = "refunded", _("Refunded")
    URI_SET = "uri_set", _("Claimed")
    OPENING = "opening", _("Opening")
    CLOSING = "closing", _("Closing")
    GIVE_UP = "give_up", _("Gave up")
    EXPIRED = "expired", _("Expired")
    CLOSED = "closed", _("Closed")
    REJECTED = "rejected", _("Rejected")
    OPEN = "open", _("Open")

    @property
    def number(self) -> int:
        """The number that the channel-request API publishes for this state."""
        return ORDER_STATE_NUMBERS[self.name]


#: As published; REJECTED and CLOSED share a number on the wire and are two states inside.
ORDER_STATE_NUMBERS: Final[dict[str, int]] = {
    "CREATED": 0,
    "PAID": 100,
    "REFUNDED": 150,
    "URI_SET": 200,
    "OPENING": 300,
    "CLOSING": 350,
    "GIVE_UP": 400,
    "EXPIRED": 410,
    "REJECTED": 450,
    "CLOSED": 450,
    "OPEN": 500,
}

_S = OrderState

#: Every move an order may make. Nothing else writes `ChannelOrder.state` (see transitions.move).
MOVES: Final[dict[OrderState, frozenset[OrderState]]] = {
    _S.CREATED: frozenset({_S.PAID, _S.EXPIRED, _S.REJECTED}),
    _S.EXPIRED: frozenset({_S.PAID, _S.REFUNDED}),  # a late on-chain payment, revived or returned
    _S.PAID: frozenset({_S.URI_SET, _S.REFUNDED, _S.REJECTED, _S.EXPIRED}),
    _S.URI_SET: frozenset({_S.URI_SET, _S.PAID, _S.OPENING, _S.GIVE_UP, _S.REJECTED, _S.EXPIRED}),
    _S.OPENING: frozenset({_S.OPEN, _S.CLOSING, _S.CLOSED, _S.URI_SET, _S.GIVE_UP}),
    # REJECTED: cancelled by staff, the money not held. EXPIRED: what was taken for paid in no block is gone
    _S.GIVE_UP: frozenset({_S.URI_SET, _S.REFUNDED, _S.REJECTED, _S.EXPIRED}),
    _S.REJECTED: frozenset({_S.REFUNDED}),
    _S.OPEN: frozenset({_S.CLOSING, _S.CLOSED}),
    _S.CLOSING: frozenset({_S.CLOSED}),
    _S.CLOSED: frozenset(),
    _S.REFUNDED: frozenset(),
}

#: Orders whose coins are still promised and not yet leased.
PROMISING: Final = frozenset({_S.CREATED, _S.PAID, _S.URI_SET, _S.GIVE_UP})
#: Paid, and not yet past the point of no return.
CLAIMABLE: Final = frozenset({_S.PAID, _S.URI_SET})
#: Paid, and no channel of it is past the point of no return.
UNDELIVERED: Final = CLAIMABLE | {_S.GIVE_UP}
#: A channel exists or existed.
DELIVERED: Final = frozenset({_S.OPENING, _S.OPEN, _S.CLOSING, _S.CLOSED})


class Firmness(models.TextChoices):
    """How firmly our coins are promised to an order. Who gives way to whom: docs/design/admission.md."""

    QUOTED = "quoted", _("Quoted")
    WAITING = "waiting", _("Paid, and no room")
    HELD = "held", _("Held")
    COMING = "coming", _("On its way on chain")
    REACHED = "reached", _("Held, and its node reached")
    FIRM = "firm", _("Firm")


#: What costs its holder nothing.
WEAK: Final = frozenset({Firmness.QUOTED, Firmness.WAITING, Firmness.HELD})
#: Orders that may still cost us coins that are in our wallet: each has a reservation.
RESERVING: Final = PROMISING | {_S.OPENING}


class InvoiceState(models.TextChoices):
    """Where the Lightning payment of an order is."""

    OPEN = "open", _("Waiting")
    HELD = "held", _("Held")
    RETURNING = "returning", _("Being returned")
    CANCELLED = "cancelled", _("Cancelled")
    SETTLED = "settled", _("Settled")


INVOICE_MOVES: Final[dict[InvoiceState, frozenset[InvoiceState]]] = {
    InvoiceState.OPEN: frozenset({InvoiceState.HELD, InvoiceState.RETURNING, InvoiceState.CANCELLED}),
    InvoiceState.HELD: frozenset({InvoiceState.RETURNING, InvoiceState.CANCELLED, InvoiceState.SETTLED}),
    # SETTLED: somebody settled it at the node by hand while we asked to return it. HELD: the order was delivered.
    InvoiceState.RETURNING: frozenset({InvoiceState.CANCELLED, InvoiceState.SETTLED, InvoiceState.HELD}),
    InvoiceState.CANCELLED: frozenset(),
    InvoiceState.SETTLED: frozenset(),
}


class DepositState(models.TextChoices):
    """Where an on-chain payment is."""

    SEEN = "seen", _("Seen")
    CONFIRMED = "confirmed", _("Confirmed")
    VANISHED = "vanished", _("Vanished")


class At(StrEnum):
    """How far money has come on its way to us. Lightning money that is held has come as far as it goes."""

    SEEN = "seen"  # on chain: in a block or not
    CONFIRMED = "confirmed"  # in a block
    DEEP = "deep"  # as deep as our policy asks of this order


class TransactionState(models.TextChoices):
    """Where a transaction of our own is. It may carry the openings of several orders."""

    DRAFTED = "drafted", _("Drafted, unsigned")
    SIGNED = "signed", _("Signed")
    PUBLISHED = "published", _("Published")
    DEEP = "deep", _("Deep")
    EXCLUDED = "excluded", _("Excluded")


_T = TransactionState

TRANSACTION_MOVES: Final[dict[TransactionState, frozenset[TransactionState]]] = {
    _T.DRAFTED: frozenset({_T.SIGNED, _T.EXCLUDED}),
    _T.SIGNED: frozenset({_T.PUBLISHED, _T.DEEP, _T.EXCLUDED}),
    _T.PUBLISHED: frozenset({_T.DEEP, _T.EXCLUDED}),
    _T.DEEP: frozenset(),
    # DRAFTED, SIGNED: found at the node after we had written it off, as our records were put back
    _T.EXCLUDED: frozenset({_T.DRAFTED, _T.SIGNED}),
}


class RefundState(models.TextChoices):
    """Where money is that goes back on chain."""

    DUE = "due", _("Due")
    SIGNED = "signed", _("Signed")
    PUBLISHED = "published", _("Published")
    DONE = "done", _("Done")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    KEPT = "kept", _("Kept")
    PROPOSED = "proposed", _("Proposed")


_R = RefundState

REFUND_MOVES: Final[dict[RefundState, frozenset[RefundState]]] = {
    # WITHDRAWN: it is owed otherwise again, nothing was signed. KEPT: told and booked, for a claim that may come.
    _R.DUE: frozenset({_R.SIGNED, _R.WITHDRAWN, _R.KEPT}),
    _R.SIGNED: frozenset({_R.PUBLISHED, _R.DUE}),  # DUE: a rival of all its versions is deep
    _R.PUBLISHED: frozenset({_R.SIGNED, _R.DONE, _R.DUE}),  # SIGNED: a version that pays more
    _R.KEPT: frozenset({_R.DUE, _R.WITHDRAWN}),  # WITHDRAWN: returned by hand, or it has bought the channel
    _R.DONE: frozenset(),
    _R.WITHDRAWN: frozenset(),
    # A person decides: DUE granted, WITHDRAWN declined, or the order was taken up again.
    _R.PROPOSED: frozenset({_R.DUE, _R.WITHDRAWN}),
}

LIVE_REFUNDS: Final = frozenset({_R.DUE, _R.SIGNED, _R.PUBLISHED})
#: What sends it is, or may one day be, in the chain.
SENT_REFUNDS: Final = frozenset({_R.SIGNED, _R.PUBLISHED, _R.DONE})


class OpeningState(models.TextChoices):
    """Where one attempt to open the channel is."""

    NEGOTIATING = "negotiating", _("Negotiating")
    FUNDED = "funded", _("Funded, unsigned")
    COMMITTED = "committed", _("Committed, zero-conf")
    CARRYING = "carrying", _("Carrying its payment, unpublished")
    PUBLISHING = "publishing", _("Publishing")
    PUBLISHED = "published", _("Published")
    CONFIRMED = "confirmed", _("Confirmed")
    CONFLICTING = "conflicting", _("Being put out")
    CANCELLING = "cancelling", _("Cancelling")
    FAILED = "failed", _("Failed")


_O = OpeningState

OPENING_MOVES: Final[dict[OpeningState, frozenset[OpeningState]]] = {
    _O.NEGOTIATING: frozenset({_O.FUNDED, _O.CANCELLING}),
    _O.FUNDED: frozenset({_O.PUBLISHING, _O.COMMITTED, _O.CARRYING, _O.CANCELLING}),
    # Zero-conf: the channel, if it exists, is in use, and will be funded. CANCELLING: it does not, and never will
    _O.COMMITTED: frozenset({_O.PUBLISHING, _O.CANCELLING}),
    # Just in time: published once its payment was taken over it. CANCELLING: the payment failed, and nothing is in it
    _O.CARRYING: frozenset({_O.PUBLISHING, _O.CANCELLING}),
    _O.PUBLISHING: frozenset({_O.PUBLISHED, _O.CONFLICTING, _O.CANCELLING}),
    _O.PUBLISHED: frozenset({_O.CONFIRMED, _O.CANCELLING}),
    # PUBLISHED: our own transaction was mined before the conflict
    _O.CONFLICTING: frozenset({_O.CANCELLING, _O.PUBLISHED}),
    # PUBLISHING: against all that is known, the zero-conf channel exists, and its coins are still ours to give
    _O.CANCELLING: frozenset({_O.FAILED, _O.PUBLISHING}),
    _O.CONFIRMED: frozenset(),
    _O.FAILED: frozenset(),
}

LIVE_OPENINGS: Final = frozenset(set(OpeningState) - {_O.CONFIRMED, _O.FAILED})
#: Past the point of no return: the channel was seen, the funding is signed, and may reach the chain.
COMMITTED_OPENINGS: Final = frozenset({_O.PUBLISHING, _O.PUBLISHED, _O.CONFLICTING})
#: One attempt for a peer until it is published: LND's default admits one pending channel.
PEER_OCCUPYING: Final = frozenset({_O.NEGOTIATING, _O.FUNDED, _O.COMMITTED, _O.CARRYING, _O.PUBLISHING, _O.CANCELLING})
#: The peer may yet let them fail.
BEFORE_RETURN: Final = frozenset({_O.NEGOTIATING, _O.FUNDED, _O.COMMITTED, _O.CARRYING, _O.CANCELLING})


class ClosingState(models.TextChoices):
    """Where a close that we want is."""

    WAITING = "waiting", _("Waiting")
    UNDER_WAY = "under_way", _("Under way")
    DONE = "done", _("Done")
    WITHDRAWN = "withdrawn", _("Withdrawn")


_C = ClosingState

CLOSING_MOVES: Final[dict[ClosingState, frozenset[ClosingState]]] = {
    # DONE: we have not looked while it was under way. WITHDRAWN: by a person, for a longer lease, or for a forced one;
    # and whatever was under way, where the channel's funding was double-spent
    _C.WAITING: frozenset({_C.UNDER_WAY, _C.DONE, _C.WITHDRAWN}),
    _C.UNDER_WAY: frozenset({_C.DONE, _C.WITHDRAWN}),
    _C.DONE: frozenset(),
    _C.WITHDRAWN: frozenset(),
}

#: While one is, its order has no other.
LIVE_CLOSINGS: Final = frozenset({_C.WAITING, _C.UNDER_WAY})
