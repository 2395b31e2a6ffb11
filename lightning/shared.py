"""What of the node many want to know at a time is asked once for all of them, and again only after a moment.

For what is told to strangers, and may be of a moment ago: how often they ask is theirs to say, and the lists are long.
So is what a price is reckoned with: every price rests on an estimate of some seconds ago. Nothing that moves money
looks here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from lightning.errors import NodeUnavailable
from lightning.node import LndNode
from lightning.types import FeeRates, Peer, PendingPhase

Value = TypeVar("Value")

#: So old an answer may be.
_SECONDS: Final = 1.0
#: What a fee is reckoned with changes with blocks and every few minutes.
_FEE_SECONDS: Final = 5.0


class _Shared(Generic[Value]):
    """One question to each node."""

    def __init__(self, ask: Callable[[LndNode, float], Value]) -> None:
        self._ask = ask
        self._lock = Lock()
        self._known: WeakKeyDictionary[LndNode, tuple[float, Value]] = WeakKeyDictionary()

    def of(self, node: LndNode, *, seconds: float, no_older_than: float) -> Value:
        """The answer to a call that was begun no longer ago; a new call lasts for so many `seconds` at most.

        Raises: NodeUnavailable.
        """
        wanted = monotonic() - no_older_than
        if not self._lock.acquire(timeout=seconds):  # whoever asks has waited as long for a node that hangs
            raise NodeUnavailable("The node takes too long to answer others.")
        try:
            at, found = self._known.get(node, (0.0, None))
            if found is None or at < wanted:
                at = monotonic()
                found = self._ask(node, seconds)
                self._known[node] = (at, found)
        finally:
            self._lock.release()
        return found

    def age_seconds(self, node: LndNode) -> float:
        """How long ago the call was begun whose answer is known."""
        at, _ = self._known.get(node, (0.0, None))
        return monotonic() - at

    def forget(self) -> None:
        """Nothing is known."""
        with self._lock:
            self._known.clear()


_peers: Final = _Shared(lambda node, seconds: {peer.pubkey: peer for peer in node.peers(seconds=seconds)})
_opening: Final = _Shared(
    lambda node, seconds: Counter(
        channel.peer_pubkey
        for channel in node.pending_channels(seconds=seconds)
        if channel.phase is PendingPhase.OPENING
    )
)
#: By the blocks that are asked about; there are fewer than a day has.
_fees: Final[dict[int, _Shared[FeeRates]]] = {}


def forget() -> None:
    """What was answered is of no use any more: the next who asks is told anew."""
    questions: tuple[_Shared[Any], ...] = (_peers, _opening, *_fees.values())
    for question in questions:
        question.forget()


def peer(pubkey: str, node: LndNode, *, seconds: float, no_older_than: float | None = None) -> Peer | None:
    """The peer, where it is connected. Raises: NodeUnavailable."""
    age = _SECONDS if no_older_than is None else no_older_than
    return _peers.of(node, seconds=seconds, no_older_than=age).get(pubkey)


def age_of_peers_seconds(node: LndNode) -> float:
    """How long ago the list of peers was asked for that others are told from."""
    return _peers.age_seconds(node)


def opening_with(pubkey: str, node: LndNode, *, seconds: float, no_older_than: float | None = None) -> int:
    """How many channels are being opened with this peer, whoever asked for them. Raises: NodeUnavailable."""
    age = _SECONDS if no_older_than is None else no_older_than
    return _opening.of(node, seconds=seconds, no_older_than=age)[pubkey]


def fee_rates(conf_target: int, node: LndNode, *, seconds: float) -> FeeRates:
    """As `LndNode.fee_rates`, of some seconds ago: for a price, never for a transaction. Raises: NodeUnavailable."""
    question = _fees.setdefault(conf_target, _Shared(partial(_asked_for_fees, conf_target)))
    return question.of(node, seconds=seconds, no_older_than=_FEE_SECONDS)


def _asked_for_fees(conf_target: int, node: LndNode, seconds: float) -> FeeRates:
    return node.fee_rates(conf_target=conf_target, seconds=seconds)
