"""Who may wait for a stranger now, who has to wait for that, and who gives way to whom. Pure: it is told the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from orders.openings import turns
from orders.openings.turns import Limits


@dataclass(frozen=True, slots=True)
class Asking:
    """An order that wants a place. `client`: empty where we do not know who bought it."""

    order_id: UUID
    peer: str
    client: str = ""
    is_first: bool = True


@dataclass(slots=True)
class Held:
    """A place that is taken. `interruptible_since`: nothing but the stranger's word is waited for."""

    asking: Asking
    interruptible_since: float | None = None
    is_leaving: bool = False


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long who has a place may keep it while another's first attempt waits for one."""

    first_seconds: float
    repeated_seconds: float


@dataclass(slots=True)
class Slots:
    """First attempts before repeated ones; among them the client's turn who holds least, and then who came first."""

    limits: Limits
    patience: Patience
    #: None: the peer's own bound is kept elsewhere.
    most_of_peer: int | None = None
    _waiting: dict[UUID, Asking] = field(default_factory=dict)  # in the order in which they came
    _held: dict[UUID, Held] = field(default_factory=dict)
    #: While what they need is short: no more have a place at a time.
    _most: int | None = None

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, order_id: UUID) -> bool:
        return order_id in self._waiting or order_id in self._held

    @property
    def waiting(self) -> int:
        """How many want a place and have none."""
        return len(self._waiting)

    @property
    def someone_first_waits(self) -> bool:
        """A first attempt has no place yet."""
        return any(asking.is_first for asking in self._waiting.values())

    def has(self, order_id: UUID) -> bool:
        """The order has a place."""
        return order_id in self._held

    def ask(self, asking: Asking) -> bool:
        """Whether the order has a place now; else it waits for one. Repeat: safe."""
        if asking.order_id in self._held:
            return True
        self._waiting[asking.order_id] = asking
        if self._best() is not asking:
            return False
        self._take(asking)
        return True

    def insist(self, asking: Asking) -> None:
        """The order has a place, whatever the limits: it ends what had one before, and frees what that holds."""
        self._take(asking)

    def next(self) -> Asking | None:
        """Whose turn it is now: it has its place."""
        best = self._best()
        if best is not None:
            self._take(best)
        return best

    def short(self, order_id: UUID) -> bool:
        """Those who have places have what this order needs: it waits before all others until one of them leaves.

        Until then nobody else has a place either. False: nobody else has one, so nobody is waited for.
        """
        held = self._held.pop(order_id, None)
        if held is None or not self._held:
            return False
        self._waiting = {order_id: held.asking, **self._waiting}
        self._most = len(self._held)
        return True

    def widen(self) -> None:
        """As time passes, one more may find out whether there is enough by now."""
        if self._most is not None:
            self._most = self._most + 1 if self._most + 1 < self.limits.at_once else None

    def left(self, order_id: UUID) -> None:
        """The order needs no place any more, and waits for none. Repeat: safe."""
        self._waiting.pop(order_id, None)
        self._held.pop(order_id, None)

    def forget_waiting(self) -> list[UUID]:
        """Nobody waits any more; who that was."""
        gone = list(self._waiting)
        self._waiting.clear()
        return gone

    def interruptible(self, order_id: UUID, since: float | None) -> None:
        """From now on (None: no longer) the order only waits for its peer's word."""
        if order_id in self._held:
            self._held[order_id].interruptible_since = since

    def giving_way(self, now: float) -> UUID | None:
        """Who is to leave its place, for a first attempt that waits and that its leaving lets in. Once for each.

        A repeated attempt before a first one, and of these who waits longest for his peer.
        """
        leaving = sum(held.is_leaving for held in self._held.values())
        firsts = [asking for asking in self._ranked() if asking.is_first]
        for asking in firsts[leaving:]:
            found = self._who_could_leave(asking, now)
            if found is not None:
                found.is_leaving = True
                return found.asking.order_id
        return None

    @property
    def _now(self) -> Limits:
        return self.limits if self._most is None else turns.limits(self._most)

    def _take(self, asking: Asking) -> None:
        self._waiting.pop(asking.order_id, None)
        self._held.setdefault(asking.order_id, Held(asking))

    def _best(self) -> Asking | None:
        if len(self._held) >= self._now.at_once:
            return None
        return next((asking for asking in self._ranked() if self._admits(asking)), None)

    def _ranked(self) -> list[Asking]:
        held = Counter(held.asking.client for held in self._held.values() if held.asking.client)
        return sorted(self._waiting.values(), key=lambda asking: (not asking.is_first, held[asking.client]))

    def _of_client(self, asking: Asking, *, without: Held | None = None) -> int:
        return self._count(lambda other: bool(asking.client) and other.client == asking.client, without)

    def _admits(self, asking: Asking, *, without: Held | None = None) -> bool:
        if self.most_of_peer is not None:
            of_peer = self._count(lambda other: other.peer == asking.peer, without)
            if of_peer >= self.most_of_peer:
                return False
        return self._now.admit(
            under_way=self._count(lambda _: True, without),
            of_client=self._of_client(asking, without=without),
            is_first=asking.is_first,
        )

    def _count(self, holds: Callable[[Asking], bool], without: Held | None) -> int:
        return sum(1 for held in self._held.values() if held is not without and holds(held.asking))

    def _who_could_leave(self, asking: Asking, now: float) -> Held | None:
        return min(
            (held for held in self._tired(now) if self._admits(asking, without=held)),
            key=lambda held: (held.asking.is_first, held.interruptible_since),
            default=None,
        )

    def _tired(self, now: float) -> Iterator[Held]:
        for held in self._held.values():
            patience = self.patience.first_seconds if held.asking.is_first else self.patience.repeated_seconds
            since = held.interruptible_since
            if since is not None and not held.is_leaving and now - since >= patience:
                yield held
