"""What the node tells of itself beyond its usual, and what it says to its customers and they to it.

In memory only, as LND has it: a node that starts announces what its configuration says.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from simulator.refused import Refused

#: LND passes on what is its own affair, and hands out what is not.
LEAST_TYPE = 32_768
MOST_BYTES = 65_533
_LARGEST_BIT = 65_535


@dataclass
class Telling:
    """Features and addresses that were added, and each message to a customer, the oldest first."""

    features: set[int] = field(default_factory=set)
    addresses: list[str] = field(default_factory=list)
    heard: defaultdict[str, list[tuple[int, bytes]]] = field(default_factory=lambda: defaultdict(list))

    def say(self, pubkey: str, kind: int, data: bytes) -> None:
        """The customer has the message. Raises: Refused."""
        require_custom(kind, data)
        self.heard[pubkey].append((kind, data))

    def announce(self, features: list[int], addresses: list[str], usual: set[int]) -> None:
        """These are announced as well, all of them or none. Raises: Refused in LND's words."""
        for bit in features:
            if bit in self.features | usual:
                raise Refused(
                    f"error trying to update node features: invalid add action for bit {bit}, bit is already set"
                )
            if bit > _LARGEST_BIT:
                raise Refused(f"feature bit exceeds set maximum: {bit} > {_LARGEST_BIT}")
        for address in addresses:
            if address.rpartition(":")[0].endswith(".invalid"):
                raise Refused(
                    f"error trying to update node addresses: unable to resolve address {address}: no such host"
                )
        if not features and not addresses:
            raise Refused("unable to detect any new values to update the node announcement")
        self.features.update(features)
        self.addresses += [address for address in addresses if address not in self.addresses]


def require_custom(kind: int, data: bytes) -> None:
    """The message may go by a node that does not understand it. Raises: Refused."""
    if kind < LEAST_TYPE:
        raise Refused(f"type: {kind} less than minimum custom message type: {LEAST_TYPE}")
    if len(data) > MOST_BYTES:
        most = f"but maximum message payload is {MOST_BYTES} bytes"
        raise Refused(f"message payload is too large - encoded {len(data)} bytes, {most}")
