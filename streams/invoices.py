"""Who has paid is heard by a subscription to the one invoice: LND has no stream that tells of all that are held.

Channel events name each payment before it is held. Once a payment has shown that they do, an invoice that nobody pays
costs nothing: it is subscribed to when its hash is named. See docs/design/streams.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from django.utils import timezone

from lightning.errors import LightningError
from lightning.streams import LndStreams
from lightning.types import NodeInvoiceState
from orders import keys, queries
from streams import hints
from streams.hands import Hands
from streams.together import end

log = logging.getLogger(__name__)

#: All are compared so often: a lost notice costs no more, and a subscription that never ends is ended.
_COMPARE_SECONDS: Final = 60.0
#: An event is not late by more than that.
_EVENT_LATE: Final = timedelta(seconds=5)
#: Nor do the clocks of our programs differ by more than that.
_NEW: Final = timedelta(seconds=10)
#: So that each payment is judged, once or twice.
_JUDGED: Final = timedelta(seconds=2 * _COMPARE_SECONDS)
_MOST_NAMED: Final = 100_000


class Trust(StrEnum):
    """What is known of the node's channel events."""

    UNKNOWN = "unknown"
    PROVEN = "proven"
    #: One did not name a payment that was held.
    MISSING = "missing"


class Named:
    """Payment hashes that were named, the latest so many, and those among them that are no unpaid invoice of ours."""

    def __init__(self, most: int = _MOST_NAMED) -> None:
        self._most = most
        #: Whether it is a stranger's; insertion order is that of the first naming.
        self._hashes: dict[str, bool] = {}

    def __contains__(self, payment_hash: str) -> bool:
        return payment_hash in self._hashes

    def add(self, hashes: Iterable[str]) -> set[str]:
        """Those that may be of ours."""
        for payment_hash in hashes:
            self._hashes.setdefault(payment_hash, False)
        while len(self._hashes) > self._most:
            del self._hashes[next(iter(self._hashes))]
        return {payment_hash for payment_hash in hashes if not self._hashes.get(payment_hash, False)}

    def are_strangers(self, hashes: Iterable[str]) -> None:
        """Nothing waits for these, nor will: who knows the hash of an invoice has it after its row."""
        self._hashes |= dict.fromkeys(self._hashes.keys() & set(hashes), True)


class Invoices:
    """The subscriptions of one session with the node."""

    def __init__(self, hands: Hands, node: LndStreams, news: Callable[[UUID], None]) -> None:
        self._hands = hands
        self._node = node
        #: Has the order looked at, which is due.
        self._news = news
        self._followed: dict[UUID, asyncio.Task[None]] = {}
        #: Subscriptions that said their last word. They are not renewed at each nudge: that word would nudge again.
        self._ended: set[UUID] = set()
        self._new: set[UUID] = set()
        self._asked = asyncio.Event()
        self.trust = Trust.UNKNOWN
        self._named = Named()
        self._to_look_up: set[str] = set()
        #: Of ours, by hash: named in this session.
        self._ours: dict[str, UUID] = {}
        #: Orders made since then have nothing under way that no event has named.
        self._heard_since: datetime | None = None

    def __len__(self) -> int:
        return len(self._followed)

    def listened_to(self) -> None:
        """Each channel event is heard from now on."""
        self._heard_since = timezone.now() + _NEW

    def begin(self, order_id: UUID) -> None:
        """The new order's invoice is followed: its hash follows from the order's id, so nobody is asked for it.

        Where the order has none this is in vain, until all are compared next. Where events name payments it is not.
        """
        if self.trust is not Trust.PROVEN:
            self._follow([(order_id, keys.payment_hash(order_id))])

    def consider(self, order_id: UUID) -> None:
        """The order's invoice is followed if it has one that nobody has paid."""
        if self.trust is not Trust.PROVEN and order_id not in self._followed and order_id not in self._ended:
            self._new.add(order_id)
            self._asked.set()

    def named(self, hashes: Collection[str]) -> None:
        """A peer has committed to payments of these hashes: an invoice of ours among them may soon be held."""
        to_look_up = self._named.add(hashes)
        followed = {each for each in to_look_up if self._ours.get(each) in self._followed}
        if to_look_up - followed:
            self._to_look_up |= to_look_up - followed
            self._asked.set()

    async def run(self) -> None:
        """Every open invoice that has to be is followed, until this is cancelled. Raises: django.db.Error."""
        try:
            while True:
                await self._compare()
                try:
                    async with asyncio.timeout(_COMPARE_SECONDS):
                        while True:
                            await self._take_new()
                except TimeoutError:
                    pass  # time to compare all
        finally:
            await end(list(self._followed.values()))

    async def _compare(self) -> None:
        self._ended.clear()
        before = set(self._followed)  # a new order may be followed while its row is not read yet
        await self._judge()
        asked = set(self._ours)  # more are named meanwhile
        rows = dict(await self._hands.do(_to_follow, self._relied_upon_since(), asked))
        for payment_hash in asked - set(rows.values()):
            del self._ours[payment_hash]
        for order_id in before & self._followed.keys() - rows.keys() - set(self._ours.values()):
            self._followed[order_id].cancel()  # the node has forgotten this invoice, or was slower than we
        self._follow(rows.items())

    def _relied_upon_since(self) -> datetime | None:
        """Invoices of orders made since then need no subscription until they are named; None: all need one."""
        return self._heard_since if self.trust is Trust.PROVEN else None

    async def _judge(self) -> None:
        """Each payment that was held is one that events have named, or has shown that they cannot be relied on.

        Where nothing was subscribed to, the minute's reconcile has found it.
        """
        if self._heard_since is None:
            return
        now = timezone.now()
        held = await self._hands.do(
            queries.held_hashes,
            made_after=self._heard_since,
            held_after=now - _JUDGED,
            held_before=now - _EVENT_LATE,
        )
        for payment_hash in held:
            self._judge_one(payment_hash)

    def _judge_one(self, payment_hash: str) -> None:
        if payment_hash not in self._named:
            if self.trust is not Trust.MISSING:
                log.warning("the node's channel events leave payments out: each unpaid invoice is subscribed to")
            self.trust = Trust.MISSING
        elif self.trust is Trust.UNKNOWN:
            self.trust = Trust.PROVEN

    def _rely_upon(self, payment_hash: str, state: NodeInvoiceState) -> None:
        """A payment that was named is held: what is bought from now on needs no subscription, and not in a minute only.

        One that was not is judged when all are compared: its event may be late.
        """
        is_held = state is NodeInvoiceState.ACCEPTED
        if is_held and self.trust is Trust.UNKNOWN and payment_hash in self._named:
            self.trust = Trust.PROVEN

    async def _take_new(self) -> None:
        if not self._to_look_up:  # else this was interrupted
            await self._asked.wait()
        self._asked.clear()
        if self._to_look_up:
            await self._look_up(set(self._to_look_up))
        new, self._new = self._new, set()
        if new:
            self._follow(await self._hands.do(queries.open_invoices, new))

    async def _look_up(self, hashes: set[str]) -> None:
        found = await self._hands.do(queries.unpaid_invoices, hashes=hashes)
        self._to_look_up -= hashes
        ours = {payment_hash: order_id for order_id, payment_hash in found}
        self._ours |= ours
        self._named.are_strangers(hashes - ours.keys())
        self._follow(found)

    def _follow(self, rows: Collection[tuple[UUID, str]]) -> None:
        for order_id, payment_hash in rows:
            if order_id not in self._followed and order_id not in self._ended:
                self._followed[order_id] = asyncio.create_task(self._listen(order_id, payment_hash))

    async def _listen(self, order_id: UUID, payment_hash: str) -> None:
        try:
            async for invoice in self._node.invoice(payment_hash):
                self._rely_upon(payment_hash, invoice.state)
                if hints.may_be_news(invoice.state):
                    await self._tell(order_id, invoice.state)
            self._ended.add(order_id)
        except LightningError as error:  # the node's other streams tell when it is gone
            log.debug("order=%s its invoice is not followed: %s", order_id, error)
        except Exception:
            log.exception("order=%s its invoice is not followed", order_id)
        finally:
            self._followed.pop(order_id, None)

    async def _tell(self, order_id: UUID, state: NodeInvoiceState) -> None:
        if await self._hands.follow(hints.invoice_changed, order_id, state):
            self._news(order_id)


def _to_follow(relied_upon_since: datetime | None, named: Collection[str]) -> list[tuple[UUID, str]]:
    if relied_upon_since is None:
        return queries.open_invoices()
    return queries.unpaid_invoices(made_before=relied_upon_since, hashes=named)
