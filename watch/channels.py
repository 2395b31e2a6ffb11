"""Where alerts go: one channel for each URL of ALERT_URL. A URL is a secret, so a channel is told apart by its hash."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

import apprise
from django.conf import settings

from orders import keys

log = logging.getLogger(__name__)

#: A message that anybody reads; the rest is counted.
_MOST_LINES: Final = 20
#: So long a person waits for what became of a test.
PATIENCE_SECONDS: Final = 8


@dataclass(frozen=True, slots=True)
class Channel:
    """One URL."""

    number: int
    url: str

    @property
    def key(self) -> str:
        """The same wherever it stands in the list; it says nothing of the URL."""
        return keys.client_hash(f"channel:{self.url}")[:16]

    @property
    def label(self) -> str:
        """For people: where it stands, and what kind it is. Of some kinds the rest is a secret."""
        return f"{self.number}: {urlsplit(self.url).scheme}"


def channels() -> list[Channel]:
    """All of them, in the order in which they are set."""
    return [Channel(number, url) for number, url in enumerate(settings.ALERT_URL, start=1)]


def message(lines: Sequence[str], title: str = "") -> tuple[str, str]:
    """Title and body of what is to be told."""
    host = urlsplit(settings.PUBLIC_URL).netloc
    told = title or (lines[0][:60] if len(lines) == 1 else f"{len(lines)} alerts")
    body = "\n".join(lines[:_MOST_LINES])
    if len(lines) > _MOST_LINES:
        body += f"\n… and {len(lines) - _MOST_LINES} more"
    return f"LSP {host}: {told}", body


def send(lines: Sequence[str], title: str = "") -> bool:
    """At least one channel has the message; the log names those that have not, without their URLs."""
    head, body = message(lines, title)
    delivered = [deliver(channel, head, body) for channel in channels()]  # to all of them
    return any(delivered)


def deliver(channel: Channel, title: str, body: str) -> bool:
    """It has it. If not, the log says so, without the URL."""
    try:
        receiver = apprise.Apprise.instantiate(channel.url)
        delivered = receiver is not None and bool(receiver.notify(title=title, body=body))
    except Exception as error:  # noqa: BLE001  any of a hundred plugins; its text may hold the URL, which is a secret
        log.warning("alert not delivered: URL %d of ALERT_URL: %s", channel.number, type(error).__name__)
        return False
    if not delivered:
        scheme = urlsplit(channel.url).scheme
        log.warning("alert not delivered: URL %d of ALERT_URL (%s://)", channel.number, scheme)
    return delivered


def tried(channel: Channel, title: str, body: str, *, patience_seconds: float = PATIENCE_SECONDS) -> bool | None:
    """Whether it has it; None: it has not said so in time, and goes on by itself."""
    outcome: list[bool] = []
    sending = Thread(target=lambda: outcome.append(deliver(channel, title, body)), daemon=True)
    sending.start()
    sending.join(patience_seconds)
    return outcome[0] if outcome else None
