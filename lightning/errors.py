"""Six errors, each named by what the caller may do next.

No decision anywhere else rests on a status code or on the text of an error:
`lightning.mapping` reads both once, here end the words.
"""

from __future__ import annotations


class LightningError(Exception):
    """A call to the node did not give its answer."""

    def __init__(self, message: str = "", *, reason: str = "") -> None:
        super().__init__(message or reason)
        #: One machine word, where `lightning.mapping` knows one ("" else).
        self.reason = reason


class NodeUnavailable(LightningError):
    """It did not happen; try again later (node down, locked, starting, not synced)."""


class OutcomeUnknown(LightningError):
    """It may have happened; look at the node before doing anything else."""


class Rejected(LightningError):
    """It did not happen and will not, as asked; `reason` says why."""


class NotFound(LightningError):
    """The node knows no such thing."""


class PeerOffline(LightningError):
    """It did not happen: the peer cannot be reached now."""


class InsufficientFunds(LightningError):
    """It did not happen: the node's wallet has not enough spendable coins."""
