"""What the rest of the house asks of a way to pay."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID

from lightning.node import LndNode
from orders.actors import Authority
from orders.causes import Cause
from orders.models import ChannelOrder, NodeSnapshot


@dataclass(frozen=True, slots=True)
class Security:
    """What the node says of the payment that counts, now.

    `secured`: an attempt may begin or go on. `lost`: it can never be secured again as it stands (the margin is
    gone, or the node cancelled): what is held goes back at once. Neither: wait (a deposit was taken back by a
    reorganisation and may return).
    """

    secured: bool
    lost: bool
    reason: str
    #: Blocks beyond the margin until the held payment is no longer secured; None: it does not run out.
    spare_blocks: int | None = None


SETTLED: Final = Security(secured=True, lost=False, reason="settled")


class PaymentRail(Protocol):
    """One way to pay: a module of this room has these functions."""

    def arrive(self, order: ChannelOrder, node: LndNode) -> bool:
        """What has come for the unpaid order is recorded; whether that calls for another look."""

    def look(self, order: ChannelOrder, node: LndNode, height: int | None = None) -> Security:
        """The payment, as the node sees it now; at which height, the node says where it is not given.

        Raises: NodeUnavailable.
        """

    def insecurity(self, order: ChannelOrder) -> str:
        """Why the payment is not secured by our own records; "" when it is."""

    def obstacle(self, order: ChannelOrder) -> str:
        """Why we could not take the payment once we have delivered; "" when we can."""

    def settle(self, order_id: UUID, node: LndNode) -> None:
        """The payment that counts is ours, as the funding is published. Raises: NodeUnavailable, OutcomeUnknown."""

    def give_back(self, order: ChannelOrder, *, cause: Cause, actor: Authority) -> bool:
        """It is recorded that what came, or may come, goes back by itself; False: it does not, or may not.

        The caller holds the order's row.
        """

    def is_going_back(self, order: ChannelOrder) -> bool:
        """It was recorded to go back, and is not back yet."""

    def is_returned_unasked(self, order: ChannelOrder) -> bool:
        """Its return was recorded by who cannot have asked the node first whether the order was delivered."""

    def finish_return(self, order_id: UUID, node: LndNode) -> None:
        """What was recorded to go back is back. Raises: NodeUnavailable, OutcomeUnknown."""

    def keep(self, order_id: UUID) -> None:
        """It does not go back after all, although that was recorded: the order was delivered. Repeat: safe."""

    def is_held(self, order: ChannelOrder) -> bool:
        """It is secured and still the buyer's: it goes back by itself when we give up."""

    def is_ours(self, order: ChannelOrder) -> bool:
        """It is with us: when we give up somebody has to return it."""

    def claim_window(self) -> timedelta:
        """How long a payment may stay unclaimed."""

    def differing(self, node: LndNode, seen: NodeSnapshot) -> Collection[UUID]:
        """The orders of which the node says something else than our records, read in bulk.

        Raises: NodeUnavailable.
        """
