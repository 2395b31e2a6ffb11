"""Why an attempt failed, or why none is made: in words that buyers know, and what follows from each."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from lightning.errors import InsufficientFunds, LightningError, NodeUnavailable, PeerOffline
from orders.causes import COINS_PROMISED_ELSEWHERE, NOT_SERVED, FlagKind

#: Staff have stopped the openings.
OPENINGS_PAUSED: Final = "OPENINGS_PAUSED"
#: Anything else, and what we call our own troubles.
FAILED_OPENING: Final = "FAILED_OPENING"
#: The peer has refused in words that we do not know: whether for good, nobody can say.
CHANNEL_REJECTED: Final = "CHANNEL_REJECTED"
#: The peer wants no public channel, or none but public ones.
ANNOUNCEMENT_REJECTED: Final = "ANNOUNCEMENT_REJECTED"
#: The peer takes no channel that is usable before its funding is mined.
ZERO_CONF_REJECTED: Final = "ZERO_CONF_REJECTED"
NODE_NOT_READY: Final = "NODE_NOT_READY"
PAYMENT_NOT_SECURED: Final = "PAYMENT_NOT_SECURED"
#: The node would have more of us than one node may.
NODE_LIMIT: Final = "NODE_LIMIT"
#: The order would cost more in fees than it has paid for them: it waits until they fall.
FEE_ABOVE_BUDGET: Final = "FEE_ABOVE_BUDGET"
#: The peer or the node has said that it will not be, however often we ask. What does not say so may pass.
FINAL: Final = frozenset(
    {
        "CHAN_SIZE_TOO_BIG",
        "CHAN_SIZE_TOO_SMALL",
        "FEATURE_MISSING",
        "PEER_REJECT_MULTI_CHAN",
        "PEER_POLICY",
        ANNOUNCEMENT_REJECTED,
    }
)
#: They pass by themselves, or may.
PASSING: Final = frozenset(
    {
        "PEER_NOT_REACHABLE",
        "PEER_BUSY",
        "LSP_BUSY",
        OPENINGS_PAUSED,
        "PEER_TOO_MANY_PENDING_CHANNELS",
        "FEE_RATE_REJECTED",
        CHANNEL_REJECTED,
        ZERO_CONF_REJECTED,
        NODE_NOT_READY,
        "INSUFFICIENT_FUNDS",
        "FEE_TOO_HIGH",
        FEE_ABOVE_BUDGET,
        PAYMENT_NOT_SECURED,
        COINS_PROMISED_ELSEWHERE,
        NOT_SERVED,
        NODE_LIMIT,
        "FUNDING_CONFLICT",
        FAILED_OPENING,
    }
)
#: What each means, for staff.
MEANS: Final[dict[str, str]] = {
    "PEER_NOT_REACHABLE": "no connection to the node",
    "PEER_BUSY": "another order's channel to this node is being opened",
    "LSP_BUSY": "as many channels are being opened as we open at a time",
    "PEER_TOO_MANY_PENDING_CHANNELS": "the node takes no more pending channels now",
    "FEE_RATE_REJECTED": "the node finds the fee rate of the channel's own transactions too low, or too high",
    CHANNEL_REJECTED: "the node refuses in words that we do not know",
    ZERO_CONF_REJECTED: "the node takes no channel before its funding is in a block",
    NODE_NOT_READY: "our node cannot be asked, or is starting or catching up",
    OPENINGS_PAUSED: "staff have paused the openings",
    "INSUFFICIENT_FUNDS": "our node has not enough deep coins",
    FEE_ABOVE_BUDGET: "the funding would cost more than the order has paid for it",
    "FEE_TOO_HIGH": "the funding would cost more than MAX_FUNDING_FEE_SAT",
    PAYMENT_NOT_SECURED: "the payment is not secured any more",
    COINS_PROMISED_ELSEWHERE: "our coins are promised to others, who paid and whose node is reached",
    NODE_LIMIT: "the node would have more of us than one may",
    NOT_SERVED: "the node, its host, or who has paid is one that we do not serve",
    "FUNDING_CONFLICT": "a coin of the funding was spent by another transaction, deep",
    "FAILED_OPENING": "anything else",
    "CHAN_SIZE_TOO_BIG": "the node takes no channel of this size: too big",
    "CHAN_SIZE_TOO_SMALL": "the node takes no channel of this size: too small",
    "FEATURE_MISSING": "one of the two nodes lacks what this channel needs",
    "PEER_REJECT_MULTI_CHAN": "the node takes no second channel from us",
    ANNOUNCEMENT_REJECTED: "the node takes no public channel, or no private one",
    "PEER_POLICY": "the node takes no such channel, or none from us, and says so",
}
#: The claimed node is not there, fell silent, or has refused the channel itself. Not FAILED_OPENING, which is what we
#: call our own troubles, nor PEER_TOO_MANY_PENDING_CHANNELS, which others bring about by opening channels to it.
PEERS_FAULT: Final = FINAL | {"PEER_NOT_REACHABLE", CHANNEL_REJECTED}
#: A node that ends attempts so has not shown that it takes a channel: that it answers costs its owner nothing.
LOSES_ITS_PLACE: Final = PEERS_FAULT | {"PEER_TOO_MANY_PENDING_CHANNELS", "FAILED_OPENING", "FEE_RATE_REJECTED"}
#: They pass when a person tops up or looks at the fees.
CALLS_STAFF: Final = {
    "INSUFFICIENT_FUNDS": (FlagKind.COINS_SHORT, "The node has not enough deep coins for this channel."),
    "FEE_TOO_HIGH": (FlagKind.FEE_TOO_HIGH, "The funding transaction would cost more than MAX_FUNDING_FEE_SAT."),
}
#: No failures of this order: whoever ends them nudges us, and this is the net below that.
NOT_ITS_FAULT: Final = {
    "PEER_BUSY": timedelta(seconds=30),
    "LSP_BUSY": timedelta(seconds=5),
    OPENINGS_PAUSED: timedelta(minutes=5),
    FEE_ABOVE_BUDGET: timedelta(minutes=10),
    COINS_PROMISED_ELSEWHERE: timedelta(seconds=5),
}
#: As little its failure, but it may last for days: the pause grows with the time that the order has waited.
COINS_SHORT: Final = "INSUFFICIENT_FUNDS"
#: A block may change them, and a node that is back tells of its newest: no need to wait for the pause.
ENDED_BY_A_BLOCK: Final = frozenset(
    {
        "INSUFFICIENT_FUNDS",
        "FEE_TOO_HIGH",
        FEE_ABOVE_BUDGET,
        "FEE_RATE_REJECTED",
        "PEER_TOO_MANY_PENDING_CHANNELS",
        NODE_NOT_READY,
        COINS_PROMISED_ELSEWHERE,
    }
)


def known(reason: str) -> str:
    """The reason, or FAILED_OPENING where it is no word that buyers know."""
    return reason if reason in FINAL | PASSING else "FAILED_OPENING"


class Broken(Exception):
    """The attempt cannot go on; it is cancelled with this reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def reason_of(error: Exception) -> str:
    """The word for what ended an attempt, or let none begin."""
    if isinstance(error, PeerOffline):
        return error.reason or "PEER_NOT_REACHABLE"
    if isinstance(error, NodeUnavailable):
        return NODE_NOT_READY
    if isinstance(error, InsufficientFunds):
        return "INSUFFICIENT_FUNDS"
    return (error.reason if isinstance(error, (Broken, LightningError)) else "") or "FAILED_OPENING"
