"""How much one peer may ask of us, and all together: rules that count, with no clock of their own.

A key costs nothing, and a peer is whoever connects. So no peer has more than its share of what waits; and how many
peers there are our node limits (`num-restricted-slots`, for those without a channel).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

#: A wallet asks a handful of things in a row, and then every few seconds how its order is.
BURST: Final = 20
PER_SECOND: Final = 2.0
#: The same in bytes: a request has some hundred of them.
BURST_BYTES: Final = 4 * 65_533
BYTES_PER_SECOND: Final = 16_384.0
#: Requests of one peer that were taken and not answered.
AT_ONCE: Final = 5
#: Of all peers together, those that wait for their turn.
WAITING: Final = 256
#: Messages of one peer that are dropped: so many in a row, or so many a second for long, are a flood.
FLOOD: Final = 500
FLOOD_PER_SECOND: Final = 50.0
#: Peers that are remembered; one that asked nothing for a while is as new.
_REMEMBERED: Final = 4_096


class Verdict(Enum):
    """What becomes of a message."""

    TAKEN = "taken"
    #: One too many: told once, with what is left of our patience.
    REFUSED = "refused"
    #: The same once more: nobody answers.
    DROPPED = "dropped"
    #: So many of these that only the end of the connection helps: each costs us a little, and our node memory.
    FLOOD = "flood"


@dataclass(slots=True)
class _Peer:
    at: float
    requests: float = BURST
    bytes: float = BURST_BYTES
    under_way: int = 0
    was_told: bool = False
    dropped: float = 0.0

    def catch_up(self, now: float) -> None:
        passed = max(0.0, now - self.at)
        self.requests = min(float(BURST), self.requests + passed * PER_SECOND)
        self.bytes = min(float(BURST_BYTES), self.bytes + passed * BYTES_PER_SECOND)
        self.dropped = max(0.0, self.dropped - passed * FLOOD_PER_SECOND)
        self.at = now

    @property
    def is_idle(self) -> bool:
        return not self.under_way and self.requests >= BURST and self.bytes >= BURST_BYTES


class Limits:
    """Who has asked how much."""

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def heard(self, pubkey: str, size: int, now: float) -> Verdict:
        """The message is counted. Where it is taken or refused, `answered` has to follow."""
        peer = self._peer(pubkey, now)
        peer.catch_up(now)
        if peer.requests >= 1 and peer.bytes >= size and peer.under_way < AT_ONCE:
            peer.requests -= 1
            peer.bytes -= size
            peer.under_way += 1
            peer.was_told = False
            return Verdict.TAKEN
        peer.bytes = max(0.0, peer.bytes - size)
        if peer.was_told:
            return self._dropped(peer)
        peer.was_told = True
        peer.under_way += 1
        return Verdict.REFUSED

    def _dropped(self, peer: _Peer) -> Verdict:
        peer.dropped += 1
        if peer.dropped < FLOOD:
            return Verdict.DROPPED
        peer.dropped = 0.0
        return Verdict.FLOOD

    def answered(self, pubkey: str) -> None:
        """One of the peer's is over: it was answered, or will not be."""
        if pubkey in self._peers:
            self._peers[pubkey].under_way -= 1

    def _peer(self, pubkey: str, now: float) -> _Peer:
        peer = self._peers.get(pubkey)
        if peer is None:
            if len(self._peers) >= _REMEMBERED:
                self._forget(now)
            peer = self._peers[pubkey] = _Peer(now)
        return peer

    def _forget(self, now: float) -> None:
        """Whoever would count as new; if that is nobody, the one who was heard longest ago and waits for nothing."""
        for peer in self._peers.values():
            peer.catch_up(now)
        idle = [key for key, peer in self._peers.items() if peer.is_idle]
        still = [key for key, peer in self._peers.items() if not peer.under_way]
        for key in idle or still[:1]:
            del self._peers[key]
