"""Tasks that live and die together."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """All of them ran until the first that failed, and all have ended.

    Not asyncio.TaskGroup: before Python 3.13 a cancellation that comes while one of the tasks fails is lost in it, and
    whoever cancelled waits for ever. Here it wins. Raises: what the first to fail raised.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await end(tasks)
    for task in done:
        task.result()


async def end(tasks: Collection[asyncio.Task[None]]) -> None:
    """The tasks were cancelled, and have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
