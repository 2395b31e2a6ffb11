"""Bitcoin Core or btcd: four calls that both know and that only read."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from chain import calls, reading
from chain.access import Access
from chain.errors import ChainUnavailable, Unreadable
from chain.packages import Package, Paid
from chain.reading import Point, RawTransaction

#: All that is asked about one thing has so long together.
PATIENCE_SECONDS: Final = 3.0
#: A stranger chooses how long the chain of his unmined transactions is, and how many coins they spend.
MOST_ANCESTORS: Final = 10
MOST_INPUTS: Final = 60
_MOST_BYTES: Final = 4 * 1024 * 1024


class ChainNode:
    """The Bitcoin node. Nothing is kept between two calls, so it may be used by all threads, and after a fork."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def height(self, *, until: float | None = None) -> int:
        """The height of its best block. Raises: ChainUnavailable, Unreadable."""
        return reading.height(self._ask([("getblockcount", ())], until or in_time())[0])

    def block_hash(self, height: int) -> str:
        """Raises: ChainUnavailable, Unreadable."""
        return reading.block_hash(self._ask([("getblockhash", (height,))], in_time())[0])

    def package(self, txid: str, *, until: float | None = None) -> Package | None:
        """The transaction with all that it waits for; None: it does not wait in this node's mempool.

        Raises: ChainUnavailable; Unreadable, also where it waits for too much, or looking at that takes too long.
        """
        return _Search(self, txid, until or in_time()).package()

    def transactions(self, txids: Sequence[str], until: float) -> list[RawTransaction | None]:
        """Each of them, as the mempool has it; some nodes also tell of mined ones."""
        said = self._ask([("getrawtransaction", (txid, 1)) for txid in txids], until)
        return [reading.transaction(each, txid) for each, txid in zip(said, txids, strict=True)]

    def unspent_sat(self, points: Sequence[Point], until: float) -> list[int | None]:
        """What each is worth, by the chain alone: what only the mempool makes or spends is as if it were not."""
        said = self._ask([("gettxout", (*point, False)) for point in points], until)
        return [reading.unspent_sat(each) for each in said]

    def scripts(self, points: Sequence[Point], until: float) -> dict[Point, str | None]:
        """The output script in hex of each coin, spent by the mempool or not; None: this node cannot tell any more.

        Raises: ChainUnavailable, Unreadable.
        """
        said = self._ask([("gettxout", (*point, False)) for point in points], until)
        found = {point: reading.script(each) for point, each in zip(points, said, strict=True)}
        parents = sorted({txid for (txid, _), script in found.items() if script is None})
        try:
            by_parent = self._scripts_of(parents, until)
        except ChainUnavailable as error:  # it has answered: that the rest takes long is this transaction's doing
            raise Unreadable(str(error)) from None
        return {point: script or by_parent.get(point[0], {}).get(point[1]) for point, script in found.items()}

    def _scripts_of(self, txids: Sequence[str], until: float) -> dict[str, dict[int, str]]:
        """Of each transaction's outputs. A few at a time: one may be large, and an answer may not."""
        found: dict[str, dict[int, str]] = {}
        for first in range(0, len(txids), MOST_ANCESTORS):
            some = txids[first : first + MOST_ANCESTORS]
            made = self._ask([("getrawtransaction", (txid, 1)) for txid in some], until)
            found |= {txid: reading.scripts(each, txid) for txid, each in zip(some, made, strict=True)}
        return found

    def _ask(self, wanted: Sequence[calls.Call], until: float) -> list[Any]:
        return calls.ask(self._access, wanted, until=until, most_bytes=_MOST_BYTES) if wanted else []


def in_time() -> float:
    """When what is asked from now on must be answered, of the monotonic clock."""
    return time.monotonic() + PATIENCE_SECONDS


class _Search:
    """From a transaction back to what is in blocks, generation by generation."""

    def __init__(self, node: ChainNode, txid: str, until: float) -> None:
        self._node = node
        self._txid = txid
        self._until = until
        self._unmined: dict[str, RawTransaction] = {}
        self._worth_sat: dict[Point, int] = {}

    def package(self) -> Package | None:
        itself = self._node.transactions([self._txid], self._until)
        if itself[0] is None or itself[0].is_mined:
            return None
        try:
            self._follow(itself)
        except ChainUnavailable as error:  # it has answered: that the rest takes long is this transaction's doing
            raise Unreadable(str(error)) from None
        fees = {txid: self._paid(each) for txid, each in self._unmined.items()}
        return Package(fees.pop(self._txid), tuple(fees.values()))

    def _follow(self, found: Sequence[RawTransaction | None]) -> None:
        while wanted := self._parents_of(self._kept(found)):
            if len(self._unmined) + len(wanted) > MOST_ANCESTORS + 1:
                raise Unreadable("it waits for too many others")
            found = self._node.transactions(wanted, self._until)

    def _kept(self, found: Sequence[RawTransaction | None]) -> list[RawTransaction]:
        """Those that are in no block. One that was mined this moment tells what it paid."""
        for each in found:
            if each is None:
                raise Unreadable("what it spends is not known")
            if each.is_mined:
                self._worth_sat |= {(each.txid, index): sat for index, sat in each.outputs_sat.items()}
            else:
                self._unmined[each.txid] = each
        return [each for each in found if each is not None and not each.is_mined]

    def _parents_of(self, found: Iterable[RawTransaction]) -> list[str]:
        """Transactions in no block that these spend and that are not known yet."""
        points = self._unknown({point for each in found for point in each.inputs})
        if sum(len(each.inputs) for each in self._unmined.values()) > MOST_INPUTS:
            raise Unreadable("too many coins are spent")
        worth = dict(zip(points, self._node.unspent_sat(points, self._until), strict=True))
        self._worth_sat |= {point: sat for point, sat in worth.items() if sat is not None}
        return sorted({txid for (txid, _), sat in worth.items() if sat is None})

    def _unknown(self, points: Collection[Point]) -> list[Point]:
        return sorted(p for p in points if p not in self._worth_sat and p[0] not in self._unmined)

    def _paid(self, each: RawTransaction) -> Paid:
        fee_sat = sum(self._sat(point) for point in each.inputs) - each.paid_sat
        if fee_sat < 0:
            raise Unreadable("it pays more than it spends")
        return Paid(each.weight, fee_sat)

    def _sat(self, point: Point) -> int:
        txid, index = point
        made = self._unmined[txid].outputs_sat if txid in self._unmined else {}
        worth = self._worth_sat.get(point, made.get(index))
        if worth is None:
            raise Unreadable("what it spends is not known")
        return worth
