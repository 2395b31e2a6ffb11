"""Which URLs we call for a stranger, as far as their writing shows: rules, no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from lightning.addresses import is_onion, is_public, literal

_HTTPS_PORT: Final = 443
#: Below are services of a host that are no web server.
_LEAST_PORT: Final = 1024
_PRINTABLE: Final = re.compile(r"[!-~]+", re.ASCII)
_NAME: Final = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{1,63}", re.IGNORECASE)
_AT_HOME: Final = ("localhost", "local", "internal", "home.arpa")


class BadUrl(ValueError):
    """It is no URL that we would call. The text is one sentence for people, without the URL."""


class BadScheme(BadUrl):
    """It is not of HTTPS."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes, and what it asks for there."""

    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """As the header `Host` has it."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _HTTPS_PORT else f"{name}:{self.port}"


def read(url: str) -> Target:
    """Spec: bLIP-55 (RFC 1738, https). Raises: BadScheme, BadUrl."""
    parts = _split(url)
    host = parts.hostname or ""
    _require_public(host)
    port = _port(parts)
    if port != _HTTPS_PORT and port < _LEAST_PORT:
        raise BadUrl("webhook must be of port 443, or of one from 1024 on.")
    query = f"?{parts.query}" if parts.query else ""
    return Target(host, port, (parts.path or "/") + query)


def _split(url: str) -> SplitResult:
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise BadUrl("webhook must be a URL of printable ASCII characters.")
    scheme = url.partition(":")[0].lower()
    if scheme != "https" and re.fullmatch(r"[a-z][a-z0-9+.-]*://.+", url, re.IGNORECASE):
        raise BadScheme("webhook must be a URL of https.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise BadUrl("webhook must be a URL.") from None
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise BadUrl("webhook must be a URL with a host, and without a user.")
    return parts


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or _HTTPS_PORT
    except ValueError:
        raise BadUrl("webhook must be a URL with a port that there is.") from None


def _require_public(host: str) -> None:
    try:
        address = literal(f"[{host}]" if ":" in host else host)
    except ValueError:
        raise BadUrl("webhook must be a URL with a host that there is.") from None
    fits = _is_name(host.rstrip(".").lower()) if address is None else is_public(address)
    if not fits:
        raise BadUrl("webhook must be a URL with a host that is reachable from the internet.")


def _is_name(host: str) -> bool:
    at_home = any(host == name or host.endswith(f".{name}") for name in _AT_HOME)
    return bool(_NAME.fullmatch(host)) and not at_home and not host.endswith(".onion") and not is_onion(host)
