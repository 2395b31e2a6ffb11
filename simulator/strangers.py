"""Hosts of this machine that are no customer's: they are dialled, and do what they do."""

from __future__ import annotations

import asyncio
from typing import Final

from simulator.refused import Refused

#: LND's own, where the caller names none.
PATIENCE_SECONDS: Final = 120


async def dial(host: str, seconds: float) -> None:
    """Somebody listens there, and speaks no protocol of ours. Raises: Refused in the words of LND's dialler."""
    name, _, port = host.rpartition(":")
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(name, int(port))
    except TimeoutError:
        raise Refused(f"dial tcp {host}: i/o timeout") from None
    except (OSError, ValueError):
        return  # nobody: the same as for any other host
    writer.close()
