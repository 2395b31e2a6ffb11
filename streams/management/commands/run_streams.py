"""`manage.py run_streams`: the streams process in the foreground."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from orders import garbage
from streams import standby
from streams.process import Process

log = logging.getLogger(__name__)


class Command(BaseCommand):
    """Speed for the orders of one node, until SIGTERM or Ctrl-C. A second one stands by."""

    help = "Listens to the node and to nudges, and advances orders at once. Only speed: orders complete without it."

    def handle(self, *args: Any, **options: Any) -> None:
        """The process has ended in order."""
        if settings.MISSING_NODE_VARIABLES:
            raise CommandError(
                f"No node is configured. Missing: {', '.join(settings.MISSING_NODE_VARIABLES)}.", returncode=2
            )
        garbage.settle()
        if not asyncio.run(_run()):
            log.warning("ending in the middle of a look: a later one goes on with it")
            logging.shutdown()
            os._exit(0)  # a normal exit would wait for its thread, for up to some minutes


async def _run() -> bool:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await Process(threads=settings.STREAM_THREADS, database=standby.database()).run(stop)
