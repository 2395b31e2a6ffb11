"""What the streams process waits for between a payment and its opening: each call of the node, each statement, commits.

Chosen by `LIGHTNING_NODE` for a few payments of their own: writing all this down takes time, too.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from lightning.calls import Calls
from tests.bench.figures import Share
from tests.bench.timed_node import TimedNode

TRACE: Final = "bench: trace"
#: In a trace: where nothing else was waited for.
OURS: Final = "our own work"
_TABLE: Final = re.compile(r'\b(?:FROM|UPDATE|INTO|JOIN)\s+"?(?:orders_)?(\w+)', re.IGNORECASE)


class Wait(NamedTuple):
    """Something was waited for, by the clock of the day."""

    what: str
    begun: float
    ended: float


class TracedNode(TimedNode):
    """In the server's streams process: at each OpenChannel it writes down what was waited for since the last."""

    _waits: Final[list[Wait]] = []

    def open_channel(self, **kwargs: Any) -> Any:
        waits = [self._waits.pop(0) for _ in range(len(self._waits))]
        print(f"{TRACE} {json.dumps(waits)}", file=sys.stderr, flush=True)
        return super().open_channel(**kwargs)

    @classmethod
    def note(cls, what: str, do: Callable[[], Any]) -> Any:
        """What it returns or raises."""
        begun = time.time()
        try:
            return do()
        finally:
            cls._waits.append(Wait(what, begun, time.time()))


def _traced(connection: BaseDatabaseWrapper, **_: Any) -> None:
    connection.execute_wrappers.append(
        lambda execute, sql, *given: TracedNode.note(_statement(str(sql)), lambda: execute(sql, *given))
    )


def _statement(sql: str) -> str:
    table = _TABLE.search(sql)
    return f"{sql.split(maxsplit=1)[0].upper()} {table[1] if table else sql.partition('(')[0].split()[-1]}"


def trace() -> None:
    """Everything that this process waits for is written down from now on."""
    call, begun, commit = Calls._call, Calls.begun, BaseDatabaseWrapper._commit
    Calls._call = lambda self, method, request, **more: TracedNode.note(  # type: ignore[method-assign,assignment]
        request.DESCRIPTOR.name.removesuffix("Request"), lambda: call(self, method, request, **more)
    )
    Calls.begun = lambda self, method, request, **more: partial(  # type: ignore[method-assign,assignment]
        TracedNode.note, request.DESCRIPTOR.name.removesuffix("Request"), begun(self, method, request, **more)
    )
    BaseDatabaseWrapper._commit = lambda self: TracedNode.note("COMMIT", lambda: commit(self))
    connection_created.connect(_traced, dispatch_uid=TRACE)


def shares(log: str, spans: Sequence[tuple[float, float]]) -> list[Share]:
    """What was waited for within each of these spans of time, in the mean, by the log; what was our own comes last."""
    waits = [
        Wait(*each) for line in log.splitlines() if line.startswith(TRACE) for each in json.loads(line[len(TRACE) :])
    ]
    times: dict[str, float] = defaultdict(float)
    seconds: dict[str, float] = defaultdict(float)
    for begun, ended in spans:
        within = [wait for wait in waits if begun <= wait.begun and wait.ended <= ended]
        for wait in within:
            times[wait.what] += 1 / len(spans)
            seconds[wait.what] += (wait.ended - wait.begun) / len(spans)
        seconds[OURS] += (ended - begun - _covered(within)) / len(spans)
    found = [Share(what, times[what], seconds[what]) for what in seconds if what != OURS]
    return [*sorted(found, key=lambda share: -share.seconds), Share(OURS, 1, seconds[OURS])]


def _covered(waits: Iterable[Wait]) -> float:
    """How long there was any of these."""
    return sum(ended - begun for begun, ended in _joined(waits))


def _joined(waits: Iterable[Wait]) -> Iterator[tuple[float, float]]:
    begun = ended = 0.0
    for wait in sorted(waits, key=lambda wait: wait.begun):
        if wait.begun > ended:
            yield begun, ended
            begun, ended = wait.begun, wait.ended
        ended = max(ended, wait.ended)
    yield begun, ended


if "run_streams" in sys.argv:
    trace()
