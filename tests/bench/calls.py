"""What our node is asked for us: each call with its time, and the bytes of its answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from google.protobuf.message import Message

from lightning.calls import Calls
from lightning.proto import (
    chainrpc_pb2,
    invoicesrpc_pb2,
    lnrpc_pb2,
    peersrpc_pb2,
    routerrpc_pb2,
    stateservice_pb2,
    walletrpc_pb2,
)

_FILES: Final = (lnrpc_pb2, invoicesrpc_pb2, walletrpc_pb2, chainrpc_pb2, peersrpc_pb2, routerrpc_pb2, stateservice_pb2)
#: The method that takes such a request. What is subscribed to is no call.
_METHODS: Final = {
    method.input_type.full_name: method.name
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if not method.name.startswith(("Subscribe", "Register"))
}


class Asked(NamedTuple):
    """One call, as it was answered."""

    name: str
    answer_bytes: int
    seconds: float


def named(request: Message) -> str:
    """The call, and where one call asks for one thing or for many of them, which."""
    name = _METHODS[request.DESCRIPTOR.full_name]
    if isinstance(request, lnrpc_pb2.ListChannelsRequest):
        return f"{name} of a peer" if request.peer else f"{name} of all"
    if isinstance(request, lnrpc_pb2.ListInvoiceRequest):
        return f"{name} the newest" if request.reversed else f"{name} after an index" if request.index_offset else name
    if isinstance(request, lnrpc_pb2.GetTransactionsRequest):
        return f"{name} from a height" if request.start_height else name
    return name


@contextmanager
def noted_calls(seen: list[Asked]) -> Iterator[None]:
    """Every call of this process to its node is noted, those that fail too; of a stream only that it was asked for.

    Of what was begun it is how long it was waited for.
    """
    call, stream, begin, begun = Calls._call, Calls.changing_stream, Calls.begin, Calls._begun

    def calling(self: Calls, how: Any, request: Message, **more: Any) -> Any:
        begun, size = time.perf_counter(), 0
        try:
            answer = call(self, how, request, **more)
            size = answer.ByteSize()
            return answer
        finally:
            seen.append(Asked(named(request), size, time.perf_counter() - begun))

    def streaming(self: Calls, how: Any, request: Message, **more: Any) -> Any:
        seen.append(Asked(named(request), 0, 0.0))
        return stream(self, how, request, **more)

    def beginning(self: Calls, how: Any, request: Message, **more: Any) -> Any:
        seen.append(Asked(named(request), 0, 0.0))
        return begin(self, how, request, **more)

    def waiting(self: Calls, how: Any, request: Message, **more: Any) -> Any:
        return partial(waited, named(request), begun(self, how, request, **more))

    def waited(name: str, answer: Any) -> Any:
        asked_at, size = time.perf_counter(), 0
        try:
            given = answer()
            size = given.ByteSize()
            return given
        finally:
            seen.append(Asked(name, size, time.perf_counter() - asked_at))

    with (
        patch.object(Calls, "_call", calling),
        patch.object(Calls, "_begun", waiting),
        patch.object(Calls, "changing_stream", streaming),
        patch.object(Calls, "begin", beginning),
    ):
        yield


def counted(calls: Iterable[Asked]) -> list[tuple[str, int]]:
    """Each call with how often it was made, by its name."""
    return sorted(Counter(each.name for each in calls).items())
