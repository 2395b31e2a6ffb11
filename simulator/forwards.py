"""What our node has passed on for others: its history, as LND keeps it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from simulator.channels import OPEN, Channel
from simulator.refused import Refused

#: How many LND tells where nobody says how many.
_USUAL = 100


@dataclass(frozen=True, slots=True)
class Forward:
    """One payment that was passed on."""

    channel_in: int
    channel_out: int
    in_msat: int
    out_msat: int
    htlc_in: int
    htlc_out: int


@dataclass
class Forwards:
    """By the nanosecond at which each was settled; LND writes no two under the same one."""

    by_ns: dict[int, Forward] = field(default_factory=dict)
    htlcs: Counter[int] = field(default_factory=Counter)

    def add(self, into: Channel, out: Channel, *, out_msat: int, fee_msat: int, at_ns: int) -> None:
        """The balances of both channels have moved. Raises: Refused where they have not so much."""
        in_msat = out_msat + fee_msat
        if into.stage != OPEN or out.stage != OPEN:
            raise Refused("both channels have to be open")
        if into.remote_sat * 1000 < in_msat or out.local_sat * 1000 < out_msat:
            raise Refused("there is not so much in the channels")
        into.local_sat, into.remote_sat = into.local_sat + in_msat // 1000, into.remote_sat - in_msat // 1000
        out.local_sat, out.remote_sat = out.local_sat - out_msat // 1000, out.remote_sat + out_msat // 1000
        while at_ns in self.by_ns:
            at_ns += 1
        self.by_ns[at_ns] = Forward(
            into.known_as, out.known_as, in_msat, out_msat, self._next(into.known_as), self._next(out.known_as)
        )

    def note(
        self, channel_in: int, channel_out: int, *, in_msat: int, out_msat: int, htlcs: tuple[int, int], at_ns: int
    ) -> None:
        """What has moved the balances already is in the history."""
        while at_ns in self.by_ns:
            at_ns += 1
        self.by_ns[at_ns] = Forward(channel_in, channel_out, in_msat, out_msat, *htlcs)

    def _next(self, channel: int) -> int:
        self.htlcs[channel] += 1
        return self.htlcs[channel] - 1

    def page(
        self, since_ns: int, until_ns: int, *, skip: int, most: int, out_by: frozenset[int] = frozenset()
    ) -> list[tuple[int, Forward]]:
        """Those between the two moments, both included, the oldest first; of some channels, or of all."""
        found = [(at_ns, each) for at_ns, each in sorted(self.by_ns.items()) if since_ns <= at_ns <= until_ns]
        found = [(at_ns, each) for at_ns, each in found if not out_by or each.channel_out in out_by]
        return found[skip : skip + (most or _USUAL)]
