"""An asynchronous standby: it has our database as each commit left it, and takes over without the last of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
import pytest
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper

from lightning.calls import Calls
from orders import models
from tests.chaos.wire import name_of
from tests.property import records

_TABLES: Final = (
    models.ChannelOrder, models.HoldInvoice, models.OnchainPayment, models.WalletTransaction, models.ChannelOpening,
    models.OrderEvent, models.Node, models.NodeSnapshot, models.IdempotencyKey, models.RequestCount, models.Switch,
    models.SwitchEvent, models.Flag, models.Reservation, models.Refund,
    models.Entry, models.Leg,
    models.Credit,
    models.Ban,
    models.ChannelClosing,
    models.Forward, models.ForwardDay, models.RollUp, models.MoneyDay, models.StockSample, models.StockDay,
    models.Alive, models.UptimeDay,
    models.DayFigure, models.StaleDay, models.OrderEarned, models.StaleOrder,
    models.AuditEntry, models.DryRun,
    models.JitPurchase, models.JitPart,
    models.Webhook, models.WakeUp,
)  # fmt: skip
_COLUMNS: Final = {
    table._meta.db_table: ", ".join(f'"{field.column}"' for field in table._meta.concrete_fields) for table in _TABLES
}
_JOURNAL: Final = models.OrderEvent._meta.db_table
_CAUSE_COLUMN: Final = [field.column for field in models.OrderEvent._meta.concrete_fields].index("cause")


class Died(BaseException):
    """Our process, with the database; no handler of ours may catch it."""


@dataclass(frozen=True)
class Copy:
    """All that was there until the journal's next word."""

    rows: dict[str, bytes]
    aged_seconds: int

    @property
    def journal(self) -> bytes:
        return self.rows[_JOURNAL]

    @property
    def last_word(self) -> str:
        """To tell the copies apart."""
        lines = self.journal.decode().splitlines()
        return lines[-1].split("\t")[_CAUSE_COLUMN] if lines else "nothing"


@dataclass
class Standby:
    """What happened so far, and when the primary is lost.

    A moment is a commit, or a call that changes something at the node. With `dies`, our process dies in that
    moment too; else it goes on, until it asks the database for something and its connection is gone.
    """

    strikes_at: int | str = 0  # the so-manieth moment, or the first with this name; 0, or none: never
    lost: int = 0  # how many commits the standby had not yet
    dies: bool = True
    copies: list[Copy] = field(default_factory=list)
    moments: list[str] = field(default_factory=list)
    commits: list[int] = field(default_factory=list)  # how many could be lost at each moment
    struck: bool = False
    aged_seconds: int = 0

    def __str__(self) -> str:
        at = self.moments[-1] if self.struck and self.moments else "the end"
        how = "dies" if self.dies else "is cut off"
        return f"{how} at {self.strikes_at}, {at}; {self.lost} lost, back to {self.copies[-1 - self.lost].last_word}"

    def copy(self) -> bool:
        """Whether the journal has grown; where it has not, the last copy is made anew."""
        rows = {}
        with _own_connection() as database:
            for table, columns in _COLUMNS.items():
                with database.cursor().copy(f"COPY (SELECT {columns} FROM {table} ORDER BY 1) TO STDOUT") as out:
                    rows[table] = b"".join(bytes(block) for block in out)
        made = Copy(rows, self.aged_seconds)
        if self.copies and self.copies[-1].journal == made.journal:
            self.copies[-1] = made
            return False
        self.copies.append(made)
        return True

    def take_over(self) -> None:
        """The database is what the standby has."""
        found = self.copies[-1 - self.lost]
        with _own_connection() as database, database.transaction():
            database.execute(f"TRUNCATE {', '.join(_COLUMNS)} CASCADE")
            for table, columns in _COLUMNS.items():
                with database.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as into:
                    into.write(found.rows[table])
        self.struck = True
        records.age(self.aged_seconds - found.aged_seconds)

    def time_passes(self, seconds: int) -> None:
        records.age(seconds)
        self.aged_seconds += seconds

    def _moment(self, what: str) -> None:
        if self.struck:
            return
        if what == "commit" and not self.copy():
            return
        self.moments.append(f"{what} ({self.copies[-1].last_word})")
        self.commits.append(len(self.copies) - 1)
        if self.strikes_at in (len(self.moments), what, self.moments[-1]):
            self.lost = min(self.lost, len(self.copies) - 1)
            self.take_over()
            if self.dies:
                raise Died
            _cut()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Every commit of this process, and every call of it that changes the node, is a moment."""
        self.copy()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DatabaseWrapper, "commit", self._commit(DatabaseWrapper.commit))
            patch.setattr(Calls, "_call", self._unary(Calls._call))
            patch.setattr(Calls, "changing_stream", self._stream(Calls.changing_stream))
            patch.setattr(Calls, "begun", self._begun(Calls.begun))
            yield

    def _commit(self, original: Callable[[DatabaseWrapper], None]) -> Callable[[DatabaseWrapper], None]:
        def commit(database: DatabaseWrapper) -> None:
            original(database)
            self._moment("commit")

        return commit

    def _unary(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def unary(calls: Calls, call: Any, request: Any, *, seconds: float, changing: bool) -> Any:
            answer = original(calls, call, request, seconds=seconds, changing=changing)
            if changing:
                self._moment(name_of(call))
            return answer

        return unary

    def _begun(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def begun(calls: Calls, call: Any, request: Any, **more: float) -> Any:
            answered = original(calls, call, request, **more)

            def waited() -> Any:
                answer = answered()
                self._moment(name_of(call))
                return answer

            return waited

        return begun

    def _stream(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def stream(calls: Calls, call: Any, request: Any, *, seconds: float) -> Any:
            answers = original(calls, call, request, seconds=seconds)
            try:
                self._moment(name_of(call))
            except Died:
                answers.cancel()  # the connection went with the process
                raise
            return answers

        return stream


def _cut() -> None:
    if connection.connection is not None:
        connection.connection.close()


def _own_connection() -> psycopg.Connection[Any]:
    """Beside Django's, which is in the middle of something."""
    settings = connection.get_connection_params()
    wanted = {name: settings[name] for name in ("host", "port", "user", "password", "dbname") if name in settings}
    return psycopg.connect(**wanted, autocommit=True)
