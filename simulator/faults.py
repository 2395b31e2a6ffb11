"""Calls that go wrong on purpose: refused, lost on the way there or back, or held until somebody lets them go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc

from simulator import control_pb2 as control
from simulator.refused import Refused

EVERY = "*"
_LOST = "the connection broke"


@dataclass(eq=False)
class Fault:
    """What happens to the next `times` calls of a method; 0: to all, until it is ended."""

    method: str
    kind: control.Fault.Kind.ValueType
    text: str
    times: int
    met: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Faults:
    """All that are set, oldest first."""

    def __init__(self) -> None:
        self._set: list[Fault] = []
        #: The methods of calls that are held now.
        self.waiting: list[str] = []

    def add(self, fault: Fault) -> None:
        """The next calls of its method meet it."""
        self._set.append(fault)

    def end(self, method: str) -> None:
        """The faults of the method (or all) are over, and what they held goes on."""
        for fault in [each for each in self._set if method in (EVERY, "", each.method)]:
            self._set.remove(fault)
            fault.ended.set()

    @asynccontextmanager
    async def around(self, method: str) -> AsyncIterator[None]:
        """The call is done inside; the fault comes before or after. Raises: Refused."""
        fault = self._take(method)
        kinds = control.Fault
        if fault and fault.kind == kinds.FAIL:
            raise Refused(fault.text or "it fails as the simulator was told")
        if fault and fault.kind == kinds.LOSE_REQUEST:
            raise Refused(_LOST, grpc.StatusCode.UNAVAILABLE)
        if fault and fault.kind == kinds.PAUSE_BEFORE:
            await self._hold(fault, method)
        yield
        if fault and fault.kind == kinds.LOSE_REPLY:
            raise Refused(_LOST, grpc.StatusCode.UNAVAILABLE)
        if fault and fault.kind == kinds.PAUSE_AFTER:
            await self._hold(fault, method)

    async def _hold(self, fault: Fault, method: str) -> None:
        self.waiting.append(method)
        try:
            await fault.ended.wait()
        finally:
            self.waiting.remove(method)

    def _take(self, method: str) -> Fault | None:
        concerned = (each for each in self._set if each.method in (EVERY, method))
        fault = next((each for each in concerned if not each.times or each.met < each.times), None)
        if fault:
            fault.met += 1
        return fault
