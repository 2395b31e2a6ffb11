"""The simulated customers' nodes, and how each of them behaves."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator import scripts
from simulator.refused import Refused
from simulator.scripts import Point

ONLINE, OFFLINE, SILENT, DEAD = "online", "offline", "silent", "dead"
PRESENCES = (ONLINE, OFFLINE, SILENT, DEAD)

#: Where it goes offline by itself, once.
AT_OPEN, AT_VERIFY = "open", "verify"
VANISHES = ("", AT_OPEN, AT_VERIFY)

#: What it does with a payment that is for it.
SETTLES, HOLDS, FAILS = "settles", "holds", "fails"
#: The first part alone, and it never says what of the others; the last alone, and it fails the others.
SETTLES_A_PART, SETTLES_THE_LAST = "settles_a_part", "settles_the_last"
TAKES = (SETTLES, HOLDS, FAILS, SETTLES_A_PART, SETTLES_THE_LAST)

_FIRST_PORT = 9_801
_OUR_PORT = 9_800
_LND_MAX_CHANNEL_SAT = 10 * 10**8
_RETURN_SECONDS = 1
#: Who connects to us does it from another port each time.
_FIRST_FROM, _FROM_SO_MANY = 49_152, 16_384

#: What LND nodes with their usual options announce; the number is the feature's bit.
FEATURES = {
    0: "data-loss-protect",
    5: "upfront-shutdown-script",
    7: "gossip-queries",
    8: "tlv-onion",
    12: "static-remote-key",
    14: "payment-addr",
    17: "multi-path-payments",
    19: "wumbo-channels",
    23: "anchors-zero-fee-htlc-tx",
    27: "shutdown-any-segwit",
    45: "explicit-commitment-type",
    47: "scid-alias",
    51: "zero-conf",
}
ZERO_CONF = 51


@dataclass
class Customer:
    """One node of somebody else's.

    `presence`: silent is connected or connectable, but answers nothing; dead is a host that takes no packets.
    """

    name: str
    pubkey: str
    host: str
    presence: str = ONLINE
    is_connected: bool = False
    came_from: str = ""  # it has connected to us; "": we to it
    returns_at: float = 0  # when it connects again by itself; 0: not
    refusal: str = ""
    min_channel_sat: int = 0
    max_channel_sat: int = _LND_MAX_CHANNEL_SAT
    refuses_push: bool = False
    pending_limit: int = 1
    vanishes: str = ""
    withholds_signature: bool = False
    refuses_announced: bool = False
    withholds_answer: bool = False
    accepts_zero_conf: bool = False
    knows_zero_conf: bool = True
    is_announced: bool = False  # the graph has it, with its host
    takes: str = SETTLES
    #: Of a part from which a fee was taken that it is told of, as wallets of LDK do: over the channels that came to be
    #: since it started, as they forget it of the others.
    takes_less: bool = False
    #: How often it has gone: when it is back it has started anew.
    lives: int = 0
    pending: list[Point] = field(default_factory=list)  # as the customer counts them

    def objection(
        self, capacity_sat: int, push_sat: int, pending: int, *, private: bool, zero_conf: bool = False
    ) -> str:
        """Why the customer does not want this channel; empty when it does."""
        if self.refusal:
            return self.refusal
        if pending >= self.pending_limit:
            return "Number of pending channels exceed maximum"
        if capacity_sat < self.min_channel_sat:
            return f"chan size of {_btc(capacity_sat)} is below min chan size of {_btc(self.min_channel_sat)}"
        if capacity_sat > self.max_channel_sat:
            return f"chan size of {_btc(capacity_sat)} exceeds maximum chan size of {_btc(self.max_channel_sat)}"
        if push_sat and self.refuses_push:
            return "non-zero push amounts are disabled"
        if self.refuses_announced and not private:
            return "Channel request rejected"
        if zero_conf and not self.accepts_zero_conf:
            return "channel rejected"
        return ""


def _btc(amount_sat: int) -> str:
    return f"{amount_sat / 10**8:g} BTC"


@dataclass
class Customers:
    """By name. What changed since it was last asked for (pubkey, online) stands in `changed`."""

    seed: bytes
    by_name: dict[str, Customer] = field(default_factory=dict)
    changed: list[tuple[str, bool]] = field(default_factory=list)
    came: int = 0

    def named(self, name: str) -> Customer:
        """The customer of this name, new where there was none: the same name has the same key for ever."""
        if name not in self.by_name:
            own = scripts.key(self.seed, f"customer/{name}")
            host = f"127.0.0.1:{_FIRST_PORT + len(self.by_name)}"
            self.by_name[name] = Customer(name, scripts.pubkey(own), host)
        return self.by_name[name]

    def find(self, pubkey: str) -> Customer | None:
        """The customer with this key."""
        return next((each for each in self.by_name.values() if each.pubkey == pubkey), None)

    def is_dead(self, host: str) -> bool:
        """A dial to there ends by its own time-out alone."""
        return any(each.host == host and each.presence == DEAD for each in self.by_name.values())

    @property
    def our_host(self) -> str:
        """Where our own node would listen."""
        return f"127.0.0.1:{_OUR_PORT}"

    def connect(self, pubkey: str, host: str, *, stays: bool) -> None:
        """The customer is connected; or, where we want to stay connected, tried later again.

        Raises: Refused in the words of LND or of its dialler.
        """
        if pubkey == scripts.pubkey(scripts.key(self.seed, "node")):
            raise Refused("cannot make connection to self")
        customer = self.find(pubkey)
        if customer and customer.is_connected:
            raise Refused(f"already connected to peer: {pubkey}@{customer.host}")
        if customer and customer.host == host and customer.presence == ONLINE:
            customer.came_from = ""
            self._set_connected(customer, connected=True)
        elif not stays:
            raise Refused(self._why_not(host))

    def come(self, customer: Customer) -> None:
        """It has connected by itself. Raises: Refused where it is not there."""
        if customer.presence != ONLINE:
            raise Refused(f"{customer.name} is {customer.presence}")
        self._comes(customer)

    def is_elsewhere(self, host: str) -> bool:
        """On this machine, and nobody of ours: who listens there is found out by dialling."""
        near = host.rpartition(":")[0] == "127.0.0.1"
        return near and host != self.our_host and all(each.host != host for each in self.by_name.values())

    def disconnect(self, pubkey: str, *, now: float, has_channel: bool) -> None:
        """Raises: Refused when it was not connected."""
        customer = self.find(pubkey)
        if customer is None or not customer.is_connected:
            raise Refused(f"unable to disconnect peer: peer {pubkey} is not connected")
        self._set_connected(customer, connected=False)
        if has_channel and customer.presence == ONLINE:
            customer.returns_at = now + _RETURN_SECONDS

    def set_presence(self, customer: Customer, presence: str, *, has_channel: bool) -> None:
        """The customer is there, away, or there without a word. Who has a channel with us connects by itself."""
        if presence not in PRESENCES:
            raise Refused(f"presence is one of {', '.join(PRESENCES)}")
        customer.presence = presence
        if presence in {OFFLINE, DEAD}:
            customer.lives += 1
            self._set_connected(customer, connected=False)
        if presence == ONLINE and has_channel:
            self._comes(customer)

    def time_passed(self, now: float) -> None:
        """Who was only cut off is back."""
        for customer in self.by_name.values():
            if customer.returns_at and customer.returns_at <= now and customer.presence == ONLINE:
                self._comes(customer)

    def _comes(self, customer: Customer) -> None:
        if not customer.is_connected:
            self.came += 1
            customer.came_from = f"127.0.0.1:{_FIRST_FROM + self.came % _FROM_SO_MANY}"
        self._set_connected(customer, connected=True)

    def _set_connected(self, customer: Customer, *, connected: bool) -> None:
        customer.returns_at = 0
        if customer.is_connected != connected:
            customer.is_connected = connected
            self.changed.append((customer.pubkey, connected))

    def _why_not(self, host: str) -> str:
        name = host.rpartition(":")[0]
        if name != "127.0.0.1":
            return f"lookup {name} on 127.0.0.1:53: no such host"
        there = next((each for each in self.by_name.values() if each.host == host), None)
        if there is None or there.presence == OFFLINE:
            return f"dial tcp {host}: connect: connection refused"
        return f"dial tcp {host}: i/o timeout" if there.presence in {SILENT, DEAD} else "EOF"  # it has another key
