"""The entries for an accountant: a line for each leg, the oldest first."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

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


class _Last:
    """What was written last, as a file that forgets it once it was asked."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str, /) -> object:
        """Kept until the next."""
        self.text = text
        return len(text)


def lines(legs: QuerySet[Leg]) -> Iterator[str]:
    """The head, and a line for each leg, as they are read: so many rows are in memory as the database gives at a time.

    No order's whole id is among them: it is the right to claim.
    """
    last = _Last()
    table = csv.writer(last)
    table.writerow(HEAD)
    yield last.text
    for leg in legs.select_related("entry").order_by("entry_id", "id").iterator(chunk_size=_CHUNK):
        table.writerow(_line(leg))
        yield last.text


def pieces(legs: QuerySet[Leg]) -> Iterator[str]:
    """The same, many lines at a time."""
    every = lines(legs)
    while piece := "".join(islice(every, _CHUNK)):
        yield piece


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
