"""Short work with the database and the node, done in threads so that the event loop never waits for it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from django.db import close_old_connections

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

#: One may be busy with a bulk look; the others keep hints and heartbeat going.
_THREADS: Final = 3


class Hands:
    """A few threads of their own: a negotiation that takes a minute never delays a hint."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="hands")

    async def do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` returns or raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: _cleanly(work, *args, **kwargs))

    async def follow(self, hint: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """The hint was followed, or it is logged why not: no hint is worth more than the stream it came from."""
        try:
            return await self.do(hint, *args, **kwargs)
        except Exception:
            log.exception("hint=%s could not be followed", hint.__name__)
            return None

    async def close(self, patience_seconds: float) -> bool:
        """Nothing begins any more; False where something still runs after so long."""
        return await has_ended(self._threads, patience_seconds)


async def has_ended(threads: ThreadPoolExecutor, patience_seconds: float) -> bool:
    """The threads have ended, those that waited at once; False where one is still at work after so long."""
    closing = threading.Thread(target=threads.shutdown, kwargs={"cancel_futures": True}, daemon=True)
    closing.start()
    deadline = asyncio.get_running_loop().time() + patience_seconds
    while closing.is_alive() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.02)
    return not closing.is_alive()


def _cleanly(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    close_old_connections()
    try:
        return work(*args, **kwargs)
    finally:
        close_old_connections()
