"""An entry is written with its legs: in one statement, in the transaction that is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import connection
from django.utils import timezone

from orders.books.saying import Legs
from orders.models import EntryKind

_INSERT: Final = """
WITH made AS (
    INSERT INTO orders_entry (order_id, node_id, at, kind, reference, txid, words)
    SELECT %(order)s, coalesce(%(node)s, (SELECT min(id) FROM orders_node)), %(at)s, %(kind)s, {reference}, %(txid)s,
           %(words)s
    {unless}
    RETURNING id
)
INSERT INTO orders_leg (entry_id, account, amount_msat)
SELECT made.id, leg.account, leg.amount_msat
FROM made, unnest(%(accounts)s::text[], %(amounts)s::bigint[]) AS leg (account, amount_msat)
"""
#: Numbered under the lock of the row that it is about; the references of one thing all begin alike.
_NUMBERED: Final = _INSERT.format(
    reference="""%(about)s || '#' || (
        SELECT 1 + count(*) FROM orders_entry WHERE reference LIKE replace(%(about)s, '_', '\\_') || '#%%')""",
    unless="",
)
_ONCE: Final = _INSERT.format(reference="%(about)s", unless="ON CONFLICT (reference) DO NOTHING")


@dataclass(frozen=True, slots=True)
class About:
    """What an entry is about."""

    kind: EntryKind
    #: With the kind, the same for all entries about one thing.
    name: str
    order_id: UUID | None = None
    node_id: int | None = None
    txid: str = ""
    words: str = ""


def post(about: About, legs: Legs) -> None:
    """One more entry about it, if anything has changed. The caller holds the row that it is about, and has moved it."""
    _write(_NUMBERED, about, legs)


def post_once(about: About, legs: Legs) -> None:
    """The entry about it is there, whoever was first. Repeat: safe."""
    _write(_ONCE, about, legs)


def _write(statement: str, about: About, legs: Legs) -> None:
    legs = {account: amount for account, amount in sorted(legs.items()) if amount}
    if not legs:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            statement,
            {
                "order": about.order_id,
                "node": about.node_id,
                "at": timezone.now(),
                "kind": about.kind.value,
                "about": f"{about.kind.value}:{about.name}",
                "txid": about.txid,
                "words": about.words[:200],
                "accounts": [str(account) for account in legs],
                "amounts": list(legs.values()),
            },
        )
