"""The node's forwarding history is read once and kept, added up by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from django.db import connection
from django.db.models import Max
from django.utils import timezone

from lightning.node import LndNode
from lightning.types import Forward as Passed
from orders import queries
from orders.ids import channel_name
from orders.models import UNNUMBERED, Forward, Node, RollUp, RollUpName

#: Asked for at a time; LND tells 50,000 at most, and it is some hundred bytes for each.
PAGE: Final = 5_000
#: What a first look at the history of many years leaves, the next looks read.
MOST_PAGES: Final = 40
#: Read again each time. LND writes forwards down a few seconds after they were settled, not all in their order; and
#: clocks are put back.
OVERLAP_SECONDS: Final = 3_600
_NS: Final = 10**9

#: In one statement: what is new is added to its day, and what was read before is not.
_KEEP: Final = """
WITH told AS (
    SELECT %(node)s::bigint AS node_id, (to_timestamp(at_ns / 1000000000) AT TIME ZONE 'UTC')::date AS day, each.*
      FROM unnest(%(at_ns)s::bigint[], %(channel_in)s::text[], %(channel_out)s::text[], %(htlc_in)s::bigint[],
                  %(htlc_out)s::bigint[], %(in_msat)s::bigint[], %(out_msat)s::bigint[], %(nth)s::int[])
           AS each (at_ns, channel_in, channel_out, htlc_in, htlc_out, in_msat, out_msat, nth)
), fresh AS (
    INSERT INTO orders_forward (node_id, day, at_ns, channel_in, channel_out, htlc_in, htlc_out, in_msat, out_msat, nth)
    SELECT * FROM told ON CONFLICT DO NOTHING
    RETURNING node_id, day, channel_in, channel_out, in_msat, out_msat
), summed AS (
    INSERT INTO orders_forwardday AS d (node_id, day, channel_in, channel_out, forwards, in_msat, out_msat)
    SELECT node_id, day, channel_in, channel_out, count(*), sum(in_msat), sum(out_msat)
      FROM fresh GROUP BY node_id, day, channel_in, channel_out
    ON CONFLICT (node_id, day, channel_in, channel_out) DO UPDATE
       SET forwards = d.forwards + excluded.forwards, in_msat = d.in_msat + excluded.in_msat,
           out_msat = d.out_msat + excluded.out_msat
)
SELECT count(*) FROM fresh
"""

#: A forward as the node tells it, and the how-manieth it is of those that are alike in all.
_Numbered = tuple[Passed, int]


def read(node: LndNode, now: datetime | None = None) -> tuple[int, bool]:
    """What the node has passed on since the last look is kept: how many were new, and whether that is all there is.

    Repeat: safe, at any time and beside itself; what a look did not come to, the next one reads.
    Raises: NodeUnavailable.
    """
    ours = queries.our_node()
    if ours is None:
        return 0, False
    history, fresh = _History(node, _read_up_to(ours, now or timezone.now())), 0
    for page in history.pages():
        fresh += _keep(ours, page)
    return fresh, history.is_over


def _read_up_to(ours: Node, now: datetime) -> int:
    """The second from which on the history is read. Never later than now: a clock that was ahead hides nothing."""
    last = Forward.objects.filter(node=ours).aggregate(at_ns=Max("at_ns"))["at_ns"]
    pruned = RollUp.objects.filter(name=RollUpName.ROUTING).values_list("whole_from", flat=True).first()
    whole_from = int(datetime(pruned.year, pruned.month, pruned.day, tzinfo=UTC).timestamp()) if pruned else 0
    if last is None:
        return whole_from
    return max(whole_from, min(int(last) // _NS, int(now.timestamp())) - OVERLAP_SECONDS, 0)


class _History:
    """The node's forwards from a second on, page by page.

    Each page begins with the second that the one before ended in: places in the whole history move when LND is told
    to forget the oldest, or writes one down late.
    """

    def __init__(self, node: LndNode, second: int) -> None:
        self._node, self._second, self._skip = node, second, 0
        self._alike: Counter[Passed] = Counter()
        self.is_over = False

    def pages(self) -> Iterator[Sequence[_Numbered]]:
        """No more than `MOST_PAGES`. Raises: NodeUnavailable."""
        for _ in range(MOST_PAGES):
            page = self._node.forwards(from_second=self._second, skip=self._skip, most=PAGE)
            yield [self._numbered(each) for each in page]
            if len(page) < PAGE:
                self.is_over = True
                return
            self._turn(page[-1].at_ns // _NS, len(page))

    def _numbered(self, each: Passed) -> _Numbered:
        self._alike[each] += 1
        return each, self._alike[each] - 1

    def _turn(self, last_second: int, read: int) -> None:
        """What is alike in all has the same second, so that it is counted anew with each."""
        if last_second == self._second:
            self._skip += read
        else:
            self._second, self._skip = last_second, 0
            self._alike.clear()


def _keep(ours: Node, page: Iterable[_Numbered]) -> int:
    numbered = list(page)
    if not numbered:
        return 0
    told = [each for each, _ in numbered]
    with connection.cursor() as cursor:
        cursor.execute(
            _KEEP,
            {
                "node": ours.pk,
                "at_ns": [each.at_ns for each in told],
                "channel_in": [channel_name(each.channel_in) for each in told],
                "channel_out": [channel_name(each.channel_out) for each in told],
                "htlc_in": [_number(each.htlc_in) for each in told],
                "htlc_out": [_number(each.htlc_out) for each in told],
                "in_msat": [each.in_msat for each in told],
                "out_msat": [each.out_msat for each in told],
                "nth": [nth for _, nth in numbered],
            },
        )
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def _number(htlc: int | None) -> int:
    return UNNUMBERED if htlc is None else htlc
