"""The simulator in this process: a new world for each example costs a fraction of a second, and can be looked into."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from simulator.server import Server
from simulator.world import Beginning, World
from tests.regtest.processes import release_port
from tests.simulator.network import BUYER_CHANNEL_SAT, SimulatedNode, SimulatedPeer

T = TypeVar("T")
_SECONDS = 30


class Loop:
    """One event loop in a thread of its own: gRPC wants a single one for all servers of a process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulators", daemon=True)
        self._thread.start()

    def start(self, doing: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(doing, self._loop)

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.start(doing).result(_SECONDS)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS)


class InsideNode(SimulatedNode):
    """One simulator, served by the loop's thread."""

    def __init__(self, loop: Loop, folder: Path, *, coins: int = 8, coin_sat: int = 5 * 10**6) -> None:
        super().__init__("lsp", folder, coins=coins, coin_sat=coin_sat)
        self._loop = loop
        self._server: Server | None = None
        self._serving: Future[None] | None = None
        self._stop: asyncio.Event | None = None

    @property
    def is_running(self) -> bool:
        return self._serving is not None and not self._serving.done()

    def start(self, *, wait: bool = True) -> None:
        self.close()
        ready = threading.Event()
        self._serving = self._loop.start(self._serve(ready))
        if not ready.wait(_SECONDS):
            raise RuntimeError(f"the simulator does not start: {self._serving}")
        if wait:
            self.wait_ready()

    async def _serve(self, ready: threading.Event) -> None:
        beginning = Beginning(alias="lsp", seed=b"property", **self._coins)
        self._server, self._stop = Server(self.folder, self.grpc_address, beginning), asyncio.Event()
        await self._server.run(self._stop, ready=ready.set)

    @property
    def _coins(self) -> dict[str, int]:
        return {name: int(self._beginning[name]) for name in ("coins", "coin_sat")}  # type: ignore[call-overload]

    def kill(self) -> None:
        """What it knew is on disk after each call; its negotiations and its faults are gone."""
        self.close()
        if self._serving is not None and self._stop is not None:
            self._loop.run(self._say_stop(self._stop))
            self._serving.result(_SECONDS)
            self._serving = None

    async def _say_stop(self, stop: asyncio.Event) -> None:
        stop.set()

    def terminate(self, timeout: float = _SECONDS) -> None:
        self.kill()

    def look(self, into: Callable[[World], T]) -> T:
        """What the world is like, seen between two of its deeds."""

        async def looking() -> T:
            assert self._server is not None
            return into(self._server.world)

        return self._loop.run(looking())


class InsideNetwork:
    """As much of the test network as a shop asks for."""

    def __init__(self, loop: Loop, **coins: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lsp-property-"))
        self.lsp = InsideNode(loop, self.folder / "lsp", **coins)
        self.lsp.start()
        self.lsp.control.open_channel("buyer", BUYER_CHANNEL_SAT, push_sat=BUYER_CHANNEL_SAT // 10)
        self.mine(6)
        self.buyer = SimulatedPeer(self.lsp, "buyer")
        self.customers = {"buyer": self.buyer, "alice": SimulatedPeer(self.lsp, "alice", pending_limit=1)}

    def mine(self, blocks: int = 1) -> None:
        self.lsp.control.mine(blocks)

    def stop(self) -> None:
        self.lsp.kill()
        release_port(self.lsp.grpc_port)
        shutil.rmtree(self.folder, ignore_errors=True)
