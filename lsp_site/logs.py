"""Logs: one line for each event, `key=value`, with no order's whole id; and no secret in an error page."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from django.views.debug import SafeExceptionReporterFilter

from orders.ids import shortened

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "request", "server_time", "taskName"}
_BARE = re.compile(r"[\w.:/+@,\-]+")
#: As a query, a body or a form has it.
_TOKEN = re.compile(r"(order_token\W{1,6})[\w%.~-]{16,}")


class KeyValueFormatter(logging.Formatter):
    """`at=… level=… logger=… message="…"`, then what was given as `extra`, then the trace, all in one line.

    Whoever wrote it, and whatever it repeats (a statement, a request, a trace), the right to claim an order is not in
    it: every order's id is cut to its beginning, and no token is left.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        facts: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        facts |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            facts["trace"] = self.formatException(record.exc_info)
        return " ".join(f"{key}={_written(value)}" for key, value in facts.items())


def _written(value: Any) -> str:
    text = _TOKEN.sub(r"\1…", shortened(str(value)))
    if _BARE.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in escaped)
    return f'"{escaped}"'


class MeantUnavailable(logging.Filter):
    """A 503 is an answer that we chose (paused, no node, no database), so Django's line on it is no error.

    What is wrong, if anything is, has been logged by whoever chose it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: the line is written, as a warning."""
        if getattr(record, "status_code", None) == HTTPStatus.SERVICE_UNAVAILABLE:
            record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        return True


class AskersFault(logging.Filter):
    """What is refused is the fault of whoever asked, and no error of ours: Django's line on it is a warning at most,
    and has no trace.

    Of a suspicious request (a Host that is not ours, too many fields) it would be an error with all of the trace, so
    that any stranger fills the log and wakes whoever watches it. For a handler: each such kind has its own logger.
    A refusal may have status 200 (orders.api.errors), a defect whose trace is nowhere else has 500.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: the line is written."""
        status = getattr(record, "status_code", HTTPStatus.INTERNAL_SERVER_ERROR)
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            record.exc_info = record.exc_text = None
            record.levelno = min(record.levelno, logging.WARNING)
            record.levelname = logging.getLevelName(record.levelno)
        return True


class SecretsHidden(SafeExceptionReporterFilter):
    """Error pages and reports hide ours as well as Django's own secrets."""

    hidden_settings = re.compile(
        SafeExceptionReporterFilter.hidden_settings.pattern + "|MACAROON|PREIMAGE|DATABASE|ALERT|CHAIN_RPC",
        re.IGNORECASE,
    )
