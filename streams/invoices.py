"""One subscription for each invoice whose state may still change: LND has no stream that tells when one is held."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Final
from uuid import UUID

from lightning.errors import LightningError
from lightning.streams import LndStreams
from orders import keys, queries
from streams import hints
from streams.hands import Hands
from streams.together import end

log = logging.getLogger(__name__)

#: All are compared so often: a lost notice costs no more, and a subscription that never ends is ended.
_COMPARE_SECONDS: Final = 60.0


class Invoices:
    """The subscriptions of one session with the node."""

    def __init__(self, hands: Hands, node: LndStreams) -> None:
        self._hands = hands
        self._node = node
        self._followed: dict[UUID, asyncio.Task[None]] = {}
        #: Subscriptions that said their last word. They are not renewed at each nudge: that word would nudge again.
        self._ended: set[UUID] = set()
        self._new: set[UUID] = set()
        self._asked = asyncio.Event()

    def __len__(self) -> int:
        return len(self._followed)

    def begin(self, order_id: UUID) -> None:
        """The new order's invoice is followed: its hash follows from the order's id, so nobody is asked for it.

        Where the order has none this is in vain, until all are compared next.
        """
        self._follow([(order_id, keys.payment_hash(order_id))])

    def consider(self, order_id: UUID) -> None:
        """The order's invoice is followed if it has one that may still change."""
        if order_id not in self._followed and order_id not in self._ended:
            self._new.add(order_id)
            self._asked.set()

    async def run(self) -> None:
        """Every such invoice is followed, until this is cancelled. Raises: django.db.Error."""
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
        rows = dict(await self._hands.do(queries.open_invoices))
        for order_id in before & self._followed.keys() - rows.keys():
            self._followed[order_id].cancel()  # the node has forgotten this invoice, or was slower than we
        self._follow(rows.items())

    async def _take_new(self) -> None:
        await self._asked.wait()
        self._asked.clear()
        new, self._new = self._new, set()
        self._follow(await self._hands.do(queries.open_invoices, new))

    def _follow(self, rows: Collection[tuple[UUID, str]]) -> None:
        for order_id, payment_hash in rows:
            if order_id not in self._followed and order_id not in self._ended:
                self._followed[order_id] = asyncio.create_task(self._listen(order_id, payment_hash))

    async def _listen(self, order_id: UUID, payment_hash: str) -> None:
        try:
            async for invoice in self._node.invoice(payment_hash):
                if hints.may_be_news(invoice.state):
                    await self._hands.follow(hints.invoice_changed, order_id, invoice.state)
            self._ended.add(order_id)
        except LightningError as error:  # the node's other streams tell when it is gone
            log.debug("order=%s its invoice is not followed: %s", order_id, error)
        except Exception:
            log.exception("order=%s its invoice is not followed", order_id)
        finally:
            self._followed.pop(order_id, None)
