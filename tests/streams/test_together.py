"""Tasks that end together, also when a failure and a cancellation come at once."""

from __future__ import annotations

import asyncio

import pytest

from streams.together import together


async def fail(steps: int) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)
    raise ConnectionError("gone")


def test_the_first_failure_ends_all_and_is_raised() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append("ended")

    async def main() -> None:
        await together(work(), fail(3), work())

    with pytest.raises(ConnectionError):
        asyncio.run(main())
    assert ended == ["ended", "ended"]


@pytest.mark.parametrize("steps", range(8))
def test_a_cancellation_wins_over_a_failure_whenever_it_comes(steps: int) -> None:
    async def for_ever() -> None:
        while True:
            try:
                await together(asyncio.Event().wait(), fail(3))  # type: ignore[arg-type]
            except ConnectionError:
                await asyncio.sleep(0)

    async def main() -> bool:
        task = asyncio.create_task(for_ever())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=10)
        return task.cancelled()

    assert asyncio.run(main())
