"""The wire between our node's client and the simulator, where one chosen call goes wrong in a chosen way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import grpc
import pytest

from lightning.calls import Calls
from simulator import control as faults
from simulator.control import Control

UNKNOWN_TEXT = "a sentence that no table knows"


class Trouble(Enum):
    """What a changing call may do besides acting and answering OK: the other five of six."""

    ERROR_NOT_DONE = faults.FAIL
    NOTHING_NOT_DONE = faults.LOSE_REQUEST
    NOTHING_DONE = faults.LOSE_REPLY
    # The simulator is honest: these two are played on our side of the wire.
    ERROR_DONE = "error, though done"
    OK_NOT_DONE = "OK, though not done"


class _SpoiltStream:
    """The node has begun, and then says that it failed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[Any]:
        next(self._stream)
        self._stream.cancel()
        raise grpc.RpcError(UNKNOWN_TEXT)

    def cancel(self) -> None:
        self._stream.cancel()


class Wire:
    """Every changing call of this process passes here; the nth of a method meets what was planned for it."""

    def __init__(self, control: Control, patch: pytest.MonkeyPatch) -> None:
        self._control = control
        self._planned: dict[tuple[str, int], Trouble] = {}
        self.made: Counter[str] = Counter()
        patch.setattr(Calls, "_call", self._unary(Calls._call))
        patch.setattr(Calls, "changing_stream", self._stream(Calls.changing_stream))
        patch.setattr(Calls, "begun", self._begun(Calls.begun))

    def plan(self, method: str, nth: int, trouble: Trouble) -> None:
        """The nth call of the method, counted from one, goes wrong."""
        self._planned[method, nth] = trouble

    @property
    def unmet(self) -> list[tuple[str, int]]:
        """What was planned for calls that were never made."""
        return [(method, nth) for method, nth in self._planned if self.made[method] < nth]

    def _unary(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def unary(calls: Calls, call: Any, request: Any, *, seconds: float, changing: bool) -> Any:
            call = self._spoil(call, _spoilt_call) if changing else call
            return original(calls, call, request, seconds=seconds, changing=changing)

        return unary

    def _stream(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def stream(calls: Calls, call: Any, request: Any, *, seconds: float) -> Any:
            return original(calls, self._spoil(call, _spoilt_stream_call), request, seconds=seconds)

        return stream

    def _begun(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def begun(calls: Calls, call: Any, request: Any, **more: float) -> Any:
            return original(calls, self._spoil(call, _spoilt_stream_call), request, **more)

        return begun

    def _spoil(self, call: Any, on_our_side: Callable[[Any, Trouble], Any]) -> Any:
        method = name_of(call)
        self.made[method] += 1
        trouble = self._planned.get((method, self.made[method]))
        if trouble is None:
            return call
        if isinstance(trouble.value, str):
            return on_our_side(call, trouble)
        self._control.add_fault(method, trouble.value, text=UNKNOWN_TEXT)
        return call


def _spoilt_call(call: Any, trouble: Trouble) -> Any:
    def spoilt(request: Any, **options: Any) -> Any:
        if trouble is Trouble.OK_NOT_DONE:
            return call._response_deserializer(b"")
        call(request, **options)
        raise grpc.RpcError(UNKNOWN_TEXT)

    return spoilt


def _spoilt_stream_call(call: Any, trouble: Trouble) -> Any:
    assert trouble is Trouble.ERROR_DONE, "a stream's OK has content"
    return lambda request, **options: _SpoiltStream(call(request, **options))


def name_of(call: Any) -> str:
    path = call._method
    return (path.decode() if isinstance(path, bytes) else str(path)).rpartition("/")[2]
