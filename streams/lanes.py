"""Two lanes: looks that wait for nobody but our own node, and what waits for peers, who are strangers.

A claimed order's node is reached first (`Dials`: no thread waits). Then the order is looked at like any other, and
where that look comes to the point at which it has to wait for the peer, it takes one of a bounded number of places
(`Slots`) and steps aside, or leaves the order to a later look. So no look ever stands behind a peer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final, TypeVar
from uuid import UUID

from django.db import connection
from django.utils import timezone

from lightning.errors import PeerOffline
from lightning.node import LndNode, Negotiation
from lightning.types import NodeAddress
from orders import queries
from orders.admission import standing
from orders.admission.standing import Standing
from orders.models import ChannelOrder
from orders.openings import turns
from orders.openings.turns import Elsewhere
from orders.queries import Claimed
from streams.clients import Clients
from streams.connected import Connected
from streams.dials import Dials, Outcome
from streams.hands import Hands
from streams.jobs import FAIR, Jobs, Rank, advance_if_due
from streams.slots import Asking, Patience, Slots
from streams.together import together

log = logging.getLogger(__name__)

T = TypeVar("T")

#: A peer that is given so long has answered, where it means to: then another's first attempt may have its place. One
#: that has failed before has less.
_PATIENCE: Final = Patience(first_seconds=5.0, repeated_seconds=2.0)
_PRESS_SECONDS: Final = 0.25
#: Where coins were short one more finds out, in a look, whether they still are.
_WIDEN_SECONDS: Final = 1.0
#: So many times as long as others he may wait whose payments have lately come to nothing, or whose other orders go
#: first, before nothing is sold.
_LATER_WAIT: Final = 5
#: Another process looks at the order: it will not be long, and may not do what we may.
_TAKEN_SECONDS: Final = 0.5
#: For an answer from the event loop, which never waits itself.
_LOOP_SECONDS: Final = 30.0
#: Once it was reached: it is there, or another dial is made.
_RECONNECT_SECONDS: Final = 2
#: A look that takes longer hangs: each call that it makes has a deadline, and the first that meets one ends it.
_LONGEST_LOOK_SECONDS: Final = 150.0
#: The same of one that waits for a peer and then ends what came of it.
_LONGEST_ASIDE_SECONDS: Final = 300.0


class Lanes:
    """Every order that wants a look is given to these. Build and use it inside one running event loop."""

    def __init__(
        self, *, threads: int, openings: int, hands: Hands, connected: Connected, ended: Callable[[], None]
    ) -> None:
        self.slots = Slots(turns.limits(openings), _PATIENCE)
        #: Of closes: their peers may be as silent, and they neither keep an opening waiting nor wait for one.
        self.closes = Slots(turns.limits_of_closes(openings), _PATIENCE)
        self.dials = Dials(connected=connected, ended=self._dialled)
        aside = 2 * openings + self.closes.limits.at_once
        self.jobs = Jobs(threads=threads, aside=aside, look=self._look, ended=self._looked)
        self._threads = threads
        self._hands = hands
        self._connected = connected
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        #: Whether each is news.
        self._unsorted: dict[UUID, bool] = {}
        #: What is being found out about.
        self._sorting: dict[UUID, bool] = {}
        self._asked = asyncio.Event()
        #: What the last dial for each order came to, until a look has made use of it.
        self._outcomes: dict[UUID, tuple[NodeAddress, Outcome]] = {}
        self._negotiating: dict[UUID, LaneTurn] = {}
        self._clients = Clients()

    def add(self, order_id: UUID, *, is_news: bool = True) -> None:
        """The order will be looked at. What is only due still (no news) is not, while it is in our hands already."""
        if is_news or not self._has(order_id):
            self._unsorted[order_id] = is_news or self._unsorted.get(order_id, False)
            self._asked.set()

    def forget(self) -> None:
        """Nothing waits any more; what runs goes on."""
        self._unsorted.clear()
        self._sorting = {}
        self.jobs.orders.forget()
        self.dials.forget()
        self.slots.forget_waiting()
        self.closes.forget_waiting()
        self._outcomes.clear()
        self._clients.clear()

    def let_go(self) -> None:
        """Nobody waits for a peer any more: the attempts fall silent, and the next look at each recovers it."""
        self.forget()
        for turn in self._negotiating.values():
            turn.let_go()

    async def run(self) -> None:
        """What is added is handed on, until this is cancelled. Raises: django.db.Error."""
        await together(self._sort(), self._press(), self._widen())

    async def close(self, patience_seconds: float) -> bool:
        """Nothing begins any more; False where a look still runs after so long."""
        self.forget()
        parts = (self.jobs, self.dials, self._connected)
        return all(await asyncio.gather(*(part.close(patience_seconds) for part in parts)))

    @property
    def looks_move(self) -> bool:
        """No look hangs that waits for nobody but our own node."""
        return self.jobs.longest_seconds()[0] < _LONGEST_LOOK_SECONDS

    @property
    def openings_move(self) -> bool:
        """No attempt hangs."""
        return self.jobs.longest_seconds()[1] < _LONGEST_ASIDE_SECONDS

    @property
    def behind_seconds(self) -> float:
        """For how long somebody's news, or his first attempt, has waited for a thread.

        A suspect's counts less, and so does what waits for others of its client's: else a single one who pays often
        would stop the sales to all.
        """
        orders = self.jobs.orders
        later = orders.waits_seconds(Rank.NEWS, Rank.FIRST, Rank.SUSPECT) / _LATER_WAIT
        return max(orders.waits_seconds(Rank.NEWS, Rank.FIRST, only_first=True), later)

    def detail(self) -> str:
        """How many are at which stage."""
        waiting = f"negotiating={len(self.slots)} waiting={self.slots.waiting} closing={len(self.closes)}"
        return f"dialling={len(self.dials)} {waiting}"

    def _has(self, order_id: UUID) -> bool:
        stages = (self._unsorted, self._sorting, self.jobs.orders, self.dials, self.slots, self.closes)
        return any(order_id in stage for stage in stages) or self.jobs.orders.is_running(order_id)

    # Which lane

    async def _sort(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._sorting, self._unsorted = self._unsorted, {}
            claimed, clients = await self._hands.do(_known_of, list(self._sorting))
            sorted_, self._sorting = self._sorting, {}
            self._clients.told(sorted_, clients)
            for order_id, is_news in sorted_.items():
                self._place(order_id, claimed.get(order_id), is_news=is_news)

    def _place(self, order_id: UUID, order: Claimed | None, *, is_news: bool) -> None:
        if order is None:
            self.dials.drop(order_id)
            self._will_look(order_id, Rank.NEWS if is_news else Rank.MONEY)
        elif order.is_live or self._has(order_id):  # news of it: whatever needs no peer is done now
            self._dial_anew(order)
            if order.is_live:
                self.jobs.add(order_id, Rank.FIRST)
            else:
                self._will_look(order_id, _attempts(order.failed_openings == 0))
        else:
            self.dials.ask(order)

    def _dial_anew(self, order: Claimed) -> None:
        """Where its node is being reached, and another is claimed now, that is reached in its place."""
        if order.order_id in self.dials:
            self.dials.ask(order)

    def _dialled(self, order_id: UUID, node: NodeAddress, is_first: bool, outcome: Outcome) -> None:
        self._outcomes[order_id] = (node, outcome)
        self._will_look(order_id, _attempts(is_first and outcome is None))

    def _will_look(self, order_id: UUID, rank: Rank) -> None:
        """In its turn: of what goes first, a suspect's goes later."""
        if rank in FAIR and self._clients.is_suspect(order_id):
            rank = Rank.SUSPECT
        self.jobs.add(order_id, rank, self._clients.before(order_id))

    # The look, in its thread

    def _look(self, order_id: UUID) -> None:
        if not advance_if_due(order_id, LaneTurn(self, order_id)):
            with suppress(Elsewhere):  # the process ends
                self.in_loop(self._loop.call_later, _TAKEN_SECONDS, partial(self.add, order_id, is_news=False))
        if len(self.slots) + len(self.closes) > self._threads and self.jobs.orders.is_aside(order_id):
            connection.close()  # many threads wait for peers, and each would keep one; a short look keeps its own

    def in_loop(self, work: Callable[..., T], *args: object) -> T:
        """What `work` returns, done in the event loop's thread. Raises: Elsewhere where it has ended."""
        answer: Future[T] = Future()
        try:
            self._loop.call_soon_threadsafe(lambda: _answer(answer, work, *args))
            return answer.result(_LOOP_SECONDS)
        except (RuntimeError, TimeoutError) as error:
            raise Elsewhere from error

    def _looked(self, order_id: UUID) -> None:
        self._negotiating.pop(order_id, None)
        for places in (self.slots, self.closes):
            if places.has(order_id):
                places.left(order_id)
        if not self._has(order_id):
            self._outcomes.pop(order_id, None)
            self._clients.left(order_id)
        self._hand_out_places()
        self._ended()

    # What a look asks for, in the event loop's thread

    def enter(self, order: Claimed) -> PeerOffline | bool:
        """Whether the look may wait for the peer now; or why the peer was not reached."""
        if (outcome := self._outcome(order)) is None:
            self.dials.ask(order)
            return False
        if outcome is True and not self.slots.ask(_asking(order)):
            self._make_way()
            return False
        self._outcomes.pop(order.order_id, None)
        if outcome is True:
            self.jobs.step_aside(order.order_id)
        return outcome

    def _outcome(self, order: Claimed) -> PeerOffline | bool | None:
        """Why the claimed node was not reached, or True: it is there. None: it is to be dialled."""
        node, why = self._outcomes.get(order.order_id, (None, None))
        if node == order.node:
            return why or True
        return self._connected.has(order.node.pubkey) or None

    def is_there(self, pubkey: str) -> bool:
        """The node has told that this peer is connected, and not that it has gone. From any thread."""
        return self._connected.has(pubkey)

    def enter_to_end(self, order: Claimed) -> None:
        """It has had a place before: what frees that, and its coins, is not kept waiting."""
        self.slots.insist(_asking(order))
        self.jobs.step_aside(order.order_id)

    def enter_to_close(self, order: Claimed) -> bool:
        """Whether the look may wait for the peer now: its order has its turn when another close has ended."""
        if not self.closes.ask(_asking(order)):
            return False
        self.jobs.step_aside(order.order_id)
        return True

    def short(self, order_id: UUID) -> bool:
        """Whether the order waits for one of those who have its coins, and who give way as for a place."""
        is_waiting = self.slots.short(order_id)
        self._make_way()
        return is_waiting

    def waits(self, turn: LaneTurn, is_waiting: bool) -> None:
        """From now on the look only waits for its peer's word, or no longer does."""
        self._negotiating[turn.order_id] = turn
        self.slots.interruptible(turn.order_id, time.monotonic() if is_waiting else None)

    def _hand_out_places(self) -> None:
        while (asking := self.slots.next()) is not None:
            self._will_look(asking.order_id, _attempts(asking.is_first))
        while (asking := self.closes.next()) is not None:
            self.jobs.add(asking.order_id, Rank.REPEATED)

    async def _press(self) -> None:
        """As time passes, others have had theirs."""
        while True:
            await asyncio.sleep(_PRESS_SECONDS)
            self.dials.press(self._loop.time())
            self._make_way()

    async def _widen(self) -> None:
        while True:
            await asyncio.sleep(_WIDEN_SECONDS)
            self.slots.widen()
            self._hand_out_places()

    def _make_way(self) -> None:
        while (order_id := self.slots.giving_way(time.monotonic())) is not None:
            log.info("order=%s its peer has had its time: another's first attempt waits for the place", order_id)
            self._negotiating[order_id].give_way()


class LaneTurn:
    """One look's right to wait for the order's peer."""

    may_attempt: bool = True
    connect_seconds: int = _RECONNECT_SECONDS

    def __init__(self, lanes: Lanes, order_id: UUID) -> None:
        self.order_id = order_id
        self._lanes = lanes
        self._negotiation: Negotiation | None = None
        self._was_told = False

    def enter(self, order: ChannelOrder, node: LndNode) -> None:
        """Raises: Elsewhere, PeerOffline."""
        answer = self._lanes.in_loop(self._lanes.enter, _claimed(order))
        if isinstance(answer, PeerOffline):
            raise answer
        if not answer:
            raise Elsewhere

    def is_there(self, pubkey: str) -> bool:
        """As the node's events have told last."""
        return self._lanes.is_there(pubkey)

    def enter_to_end(self, order: ChannelOrder) -> None:
        """At once. Raises: Elsewhere where the lanes have ended."""
        self._lanes.in_loop(self._lanes.enter_to_end, _claimed(order))

    def enter_to_close(self, order: ChannelOrder) -> None:
        """Raises: Elsewhere."""
        if not self._lanes.in_loop(self._lanes.enter_to_close, _claimed(order)):
            raise Elsewhere

    def wait_for_coins(self, order: ChannelOrder) -> None:
        """Raises: Elsewhere."""
        if self._lanes.in_loop(self._lanes.short, order.pk):
            raise Elsewhere

    @contextmanager
    def waiting(self, negotiation: Negotiation) -> Iterator[None]:
        """Raises: Elsewhere never: without the event loop nobody interrupts."""
        self._negotiation = negotiation
        self._say(is_waiting=True)
        try:
            yield
        finally:
            self._say(is_waiting=False)

    def give_way(self) -> None:
        """The look waits no longer, and ends what it began. To be called in the event loop's thread."""
        self._was_told = True
        self.let_go()

    def let_go(self) -> None:
        """The look waits no longer."""
        if self._negotiation is not None:
            self._negotiation.give_up()

    def gave_way(self) -> bool:
        """Once."""
        told, self._was_told = self._was_told, False
        return told

    def _say(self, *, is_waiting: bool) -> None:
        with suppress(Elsewhere):  # the process ends
            self._lanes.in_loop(self._lanes.waits, self, is_waiting)


def _claimed(order: ChannelOrder) -> Claimed:
    node = NodeAddress(order.node_pubkey, order.node_host)
    return Claimed(order.pk, node, order.client_hash, order.failed_openings, order.live_opening is not None)


def _asking(order: Claimed) -> Asking:
    return Asking(order.order_id, order.node.pubkey, order.client_hash, order.failed_openings == 0)


def _attempts(is_first: bool) -> Rank:
    return Rank.FIRST if is_first else Rank.REPEATED


def _known_of(ids: Collection[UUID]) -> tuple[dict[UUID, Claimed], dict[UUID, Standing]]:
    """What is to be known of those of these orders that are claimed and due; and how the clients of all stand whose
    look may go before others': one that is to try again does not.
    """
    now = timezone.now()
    claimed = {order.order_id: order for order in queries.claimed(ids, now)}
    in_order = [each for each in ids if each not in claimed or claimed[each].failed_openings == 0]
    return claimed, standing.of(in_order, now) if in_order else {}


def _answer(answer: Future[T], work: Callable[..., T], *args: object) -> None:
    try:
        answer.set_result(work(*args))
    except Exception as error:  # noqa: BLE001  whoever asked is told
        answer.set_exception(error)
