"""Who may wait for a peer, and how many do at a time. A look that may not says so, and another goes on with the order.

A peer is a stranger: it may take all the time there is. So what settles, publishes, returns and counts must never stand
behind it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

from lightning.node import LndNode, Negotiation
from orders.models import ChannelOrder


class Elsewhere(Exception):
    """This look must not wait for the peer: the order stays due, and is looked at by somebody who may."""


class Turn(Protocol):
    """The right to wait for the order's peer, as one look has it."""

    #: Whether an attempt may be looked forward to at all: a look that may not make one leaves its preparation too.
    may_attempt: bool
    #: The most that the peer may take to be connected, once `enter` has said that it can be.
    connect_seconds: int

    def enter(self, order: ChannelOrder, node: LndNode) -> None:
        """The peer may be waited for from now on: it is there as far as is known, and an attempt has its place.

        Raises: Elsewhere; PeerOffline, Rejected where it was tried and not reached.
        """

    def is_there(self, pubkey: str) -> bool:
        """The node says by itself that this peer is connected, so that nobody needs to ask: where it has just gone the
        attempt says so.
        """

    def enter_to_end(self, order: ChannelOrder) -> None:
        """The same for who ends an attempt, which disconnects the peer and connects it again. Raises: Elsewhere."""

    def enter_to_close(self, order: ChannelOrder) -> None:
        """The same for who closes its channel together with it: nothing is freed by that, so it may have to wait.

        Raises: Elsewhere.
        """

    def wait_for_coins(self, order: ChannelOrder) -> None:
        """Other attempts have leased the coins that this one needs: it has a place anew when one of them ends.

        Raises: Elsewhere, unless nobody knows of those attempts here: then the order is to wait by itself.
        """

    def waiting(self, negotiation: Negotiation) -> AbstractContextManager[None]:
        """Inside nothing but the peer's word is waited for: another's first attempt may end that."""

    def gave_way(self) -> bool:
        """Whether the attempt was ended for another's sake. Asked once: then what is left of it is to be ended."""


class _Here:
    """Whoever looks waits himself."""

    may_attempt = True
    connect_seconds = 15

    def enter(self, order: ChannelOrder, node: LndNode) -> None:
        """At once."""

    def is_there(self, pubkey: str) -> bool:
        """Nobody has told."""
        return False

    def enter_to_end(self, order: ChannelOrder) -> None:
        """At once."""

    def enter_to_close(self, order: ChannelOrder) -> None:
        """At once."""

    def wait_for_coins(self, order: ChannelOrder) -> None:
        """Nobody is known."""

    def waiting(self, negotiation: Negotiation) -> AbstractContextManager[None]:
        """Nobody interrupts."""
        return nullcontext()

    def gave_way(self) -> bool:
        """Never."""
        return False


class _Never(_Here):
    """Whoever looks has others behind him."""

    may_attempt = False

    def enter(self, order: ChannelOrder, node: LndNode) -> None:
        """Raises: Elsewhere."""
        raise Elsewhere

    def enter_to_end(self, order: ChannelOrder) -> None:
        """Raises: Elsewhere."""
        raise Elsewhere

    def enter_to_close(self, order: ChannelOrder) -> None:
        """Raises: Elsewhere."""
        raise Elsewhere


HERE: Final[Turn] = _Here()
NEVER: Final[Turn] = _Never()


@dataclass(frozen=True, slots=True)
class Limits:
    """How many may wait for peers at a time. What is kept for first attempts no repeated one ever takes."""

    at_once: int
    repeated: int
    of_client: int
    repeated_of_client: int

    @property
    def kept(self) -> int:
        """For first attempts."""
        return self.at_once - self.repeated

    def admit(self, *, under_way: int, of_client: int, is_first: bool) -> bool:
        """One more of this client's may begin."""
        if is_first:
            return under_way < self.at_once and of_client < self.of_client
        return under_way < self.repeated and of_client < self.repeated_of_client


def limits(at_once: int) -> Limits:
    """A quarter is kept for first attempts, an eighth for those of other clients."""
    kept = max(1, at_once // 4) if at_once > 1 else 0
    return Limits(
        at_once=at_once,
        repeated=at_once - kept,
        of_client=at_once - at_once // 8,
        repeated_of_client=max(1, at_once // 4),
    )


def most_carrying(openings: int) -> int:
    """So many channels may have a payment in them whose end nobody knows, beside so many openings: a quarter."""
    return max(1, openings // 4)


def limits_of_closes(openings: int) -> Limits:
    """Beside so many openings: a quarter of that, whosesoever they are."""
    most = max(1, openings // 4)
    return Limits(at_once=most, repeated=most, of_client=most, repeated_of_client=most)


def is_first(order: ChannelOrder) -> bool:
    """Nothing was tried for the order yet, since its last claim or retry."""
    return order.failed_openings == 0
