"""A simulator that runs until it is told to end: what the command and the tests both start."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from simulator.server import Server
from simulator.world import Beginning


@dataclass(frozen=True)
class Options:
    """Where it is, and how it begins."""

    home: Path
    listen: str
    block_seconds: float = 0
    beginning: Beginning = field(default_factory=Beginning)
    #: Nothing is passed on that no interceptor has answered; None: as it was.
    requires_interceptor: bool | None = None


def run(options: Options, *, ready: Callable[[], None] = lambda: None) -> None:
    """It has served until SIGTERM or Ctrl-C; `ready` is called once it answers.

    Raises: RuntimeError when it cannot listen there.
    """
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(options, ready))


async def _run(options: Options, ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(options.home, options.listen, options.beginning)
    if options.requires_interceptor is not None:
        server.world.passing.kept.requires_interceptor = options.requires_interceptor
    await server.run(stop, block_seconds=options.block_seconds, ready=ready)
