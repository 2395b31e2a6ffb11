"""The entries for an accountant: a line for each leg, the oldest first."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import Final, Protocol

from django.db.models import QuerySet

from orders.ids import short, shortened
from orders.models import Leg

HEAD: Final = (
    "entry",
    "at",
    "kind",
    "reference",
    "order",
    "transaction",
    "account",
    "debit_msat",
    "credit_msat",
    "words",
)
#: Programs for tables reckon what begins so.
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")
#: So many rows are in memory at a time.
_CHUNK: Final = 2_000


class Writable(Protocol):
    """A file, or what looks like one."""

    def write(self, text: str, /) -> object:
        """Takes the text."""


def write(legs: QuerySet[Leg], into: Writable) -> int:
    """How many lines were written, besides the head. No order's whole id is among them: it is the right to claim."""
    lines = csv.writer(into)
    lines.writerow(HEAD)
    count = 0
    for leg in legs.select_related("entry").order_by("entry_id", "id").iterator(chunk_size=_CHUNK):
        lines.writerow(_line(leg))
        count += 1
    return count


def _line(leg: Leg) -> Iterable[str | int]:
    entry, msat = leg.entry, leg.amount_msat
    return (
        entry.pk,
        entry.at.isoformat(),
        entry.kind,
        entry.reference,
        short(entry.order_id) if entry.order_id else "",
        entry.txid,
        leg.account,
        max(0, msat),
        max(0, -msat),
        _harmless(shortened(entry.words)),
    )


def _harmless(text: str) -> str:
    """What somebody typed, as no formula for the program that opens the table."""
    return f"'{text}" if text.startswith(_FORMULAS) else text
