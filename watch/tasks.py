"""What django-q2 runs of the watch. The schedule's row has its name: who renames it writes a migration."""

from __future__ import annotations

import logging

from watch import alerting

log = logging.getLogger(__name__)


def send_alerts() -> str:
    """Whoever is to be told was told; scheduled every minute, in a task of its own that holds up no order."""
    try:
        return f"told={alerting.watch()}"
    except Exception:
        # Its failure is no order's, and queueing it again would only be a second one beside the next minute's.
        log.exception("alerts could not be looked after")
        return "failed"
