"""What django-q2 runs of the watch. The schedule's row has its name: who renames it writes a migration."""

from __future__ import annotations

import logging

from django.utils import timezone

from watch import alerting, forgetting, summary

log = logging.getLogger(__name__)


def send_alerts() -> str:
    """Whoever is to be told was told; scheduled every minute, in a task of its own that holds up no order."""
    try:
        return f"told={alerting.watch()}"
    except Exception:
        # Its failure is no order's, and queueing it again would only be a second one beside the next minute's.
        log.exception("alerts could not be looked after")
        return "failed"


def send_summary() -> str:
    """Whoever wants it was told of yesterday; asked every five minutes, and done once a day."""
    try:
        return f"sent={summary.send_summary()}"
    except Exception:
        log.exception("the day could not be summed up")
        return "failed"


def prune() -> str:
    """What is over, and no record of money, is deleted; scheduled every day."""
    return " ".join(f"{name.replace(' ', '_')}={count}" for name, count in forgetting.forget(timezone.now()))
