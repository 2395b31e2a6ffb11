"""What our node's channels are called besides: by LND itself, and by whoever asks for it."""

from __future__ import annotations

from collections.abc import Callable

from simulator.channels import OPEN, Channel, Channels
from simulator.refused import Refused

_ALIAS_HEIGHTS = range(16_000_000, 16_250_000)


class Names:
    """The names of all channels. `added` survives the node's end: what was asked for, by the channel's own name."""

    def __init__(
        self, added: dict[int, list[int]], channels: Channels, *, is_active: Callable[[Channel], bool]
    ) -> None:
        self._added, self._channels, self._is_active = added, channels, is_active

    def all(self) -> dict[int, list[int]]:
        """By the name of each channel: what LND gave it, and what was added. Those too of channels that are no more."""
        given = {each.alias: [each.alias] for each in self._channels.by_point.values() if each.alias}
        return {base: [*given.get(base, ()), *self._added.get(base, ())] for base in {*given, *self._added}}

    def of(self, channel: Channel) -> set[int]:
        """All that it may be called by who pays over it."""
        own = {channel.short_id, channel.alias} - {0}
        return own.union(*(self._added.get(name, ()) for name in own))

    def add(self, base: int, alias: int) -> None:
        """Raises: Refused in LND's words; of a channel that is not usable it is remembered all the same."""
        channel = self._open(base)
        if alias >> 40 not in _ALIAS_HEIGHTS:
            raise Refused(f"not a valid alias: SCID alias {scid_text(alias)} is not a valid alias")
        if channel is None:
            raise Refused(f"base scid {scid_text(base)} not found")
        for other, names in self.all().items():
            if alias in names and other != base:
                words = f"alias {scid_text(alias)} already exists for base scid {scid_text(other)}"
                raise Refused(f"alias already exists: {words}")
            if alias in names:
                raise Refused(f"alias already exists: SCID alias {alias} already exists")
        self._added.setdefault(base, []).append(alias)
        if not self._is_active(channel):
            which = f"base_scid={scid_text(base)}, alias_scid={scid_text(alias)}"
            raise Refused(f"error adding scid alias, {which}: channel link not found")

    def remove(self, base: int, alias: int) -> None:
        """Raises: Refused in LND's words; of a channel that is not usable, or no more, it is forgotten all the same."""
        words = f"error deleting scid alias, base_scid={scid_text(base)}, alias_scid={scid_text(alias)}"
        named = [other for other, names in self._added.items() if alias in names]
        for other in named:
            self._added[other].remove(alias)
        if base not in named:  # of another channel it is gone by then, as it is in LND's database
            raise Refused(f"{words}: alias not found")
        channel = self._open(base)
        if channel is None or not self._is_active(channel):
            raise Refused(f"{words}: channel link not found")

    def _open(self, base: int) -> Channel | None:
        found = (each for each in self._channels.alive() if each.stage == OPEN and each.known_as == base)
        return next(found, None)


def scid_text(scid: int) -> str:
    """As LND writes it."""
    return f"{scid >> 40}:{scid >> 16 & 0xFFFFFF}:{scid & 0xFFFF}"
