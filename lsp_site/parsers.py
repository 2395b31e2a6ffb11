"""From the text of an environment variable to a typed value. A ValueError says what the text should have been."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ

Parser = Callable[[str], Any]

_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")
_NODE_URI = re.compile(r"0[23][0-9a-fA-F]{64}@(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}")
_RATE = re.compile(r"[1-9]\d{0,8}/(s|sec|second|m|min|minute|h|hour|d|day)")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_NETWORKS = ("mainnet", "testnet", "signet", "regtest")


def text(value: str) -> str:
    """The text as it stands."""
    return value


def boolean(value: str) -> bool:
    """Raises: ValueError when it is neither a yes nor a no."""
    if value.lower() in ("1", "true", "yes", "on"):
        return True
    if value.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("must be on or off")


def integer(low: int, high: int) -> Parser:
    """A parser of whole numbers from `low` to `high`."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", value) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return parse


def seconds(low: int = 1) -> Parser:
    """A parser of durations, at most a year."""
    return integer(low, 366 * 24 * 3600)


def rate(value: str) -> str:
    """Raises: ValueError when it is not like `60/min`."""
    if not _RATE.fullmatch(value):
        raise ValueError("must be a number of requests per s, min, hour or day, such as 60/min")
    return value


def network(value: str) -> str:
    """Raises: ValueError when it is no network that we know."""
    if value not in _NETWORKS:
        raise ValueError(f"must be one of {', '.join(_NETWORKS)}")
    return value


def listen(value: str) -> tuple[str, int]:
    """Host and port. Raises: ValueError."""
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("must be host:port with a port from 1 to 65535")
    if host.count(":") and not (host.startswith("[") and host.endswith("]")):
        raise ValueError("must have its IPv6 address in brackets")
    return host, int(port)


def host_and_port(value: str) -> str:
    """The same text. Raises: ValueError when it is not host:port."""
    listen(value)
    return value


def folder(value: str) -> Path:
    """An absolute path (a relative one counts from where the command was started)."""
    return Path(value).expanduser().absolute()


def readable_file(value: str) -> str:
    """The path. Raises: ValueError when it cannot be read."""
    path = Path(value).expanduser().absolute()
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"must name a file that we can read: {error.strerror}") from None
    return str(path)


def macaroon(value: str) -> str:
    """The hex or the path. Raises: ValueError that does not repeat the value, which is a secret."""
    if re.fullmatch(r"([0-9a-fA-F]{2}){32,}", value):
        return value
    try:
        return readable_file(value)
    except ValueError:
        raise ValueError("must be the macaroon in hex, or the path of a file that we can read") from None


def key(value: str) -> bytes:
    """32 bytes. Raises: ValueError that does not repeat the value, which is a secret."""
    if not _HEX_KEY.fullmatch(value):
        raise ValueError("must be 32 bytes in hex (64 hex digits)")
    return bytes.fromhex(value)


def url(value: str) -> str:
    """The URL without a slash at its end. Raises: ValueError."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be http(s)://host[:port][/path], without query")
    _ = parts.port  # a port out of range raises ValueError
    return value.rstrip("/")


def items(value: str) -> tuple[str, ...]:
    """The parts between the commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def origins(value: str) -> tuple[str, ...]:
    """Raises: ValueError when one has no scheme."""
    for part in items(value):
        if urlsplit(part).scheme not in ("http", "https"):
            raise ValueError("must be a comma list of origins such as https://lsp.example")
    return items(value)


def node_uris(value: str) -> tuple[str, ...]:
    """Raises: ValueError when one is not key@host:port."""
    for part in items(value):
        if not _NODE_URI.fullmatch(part):
            raise ValueError("must be a comma list of key@host:port")
    return items(value)


def proxies(value: str) -> int | tuple[str, ...]:
    """How many proxies stand before us, or their addresses (networks). Raises: ValueError."""
    if value.isascii() and value.isdecimal():
        if int(value) > 10:
            raise ValueError("must be a count of at most 10, or a comma list of addresses")
        return int(value)
    try:
        return tuple(str(ipaddress.ip_network(part)) for part in items(value))
    except ValueError:
        raise ValueError("must be a count, or a comma list of addresses or networks") from None


def alert_urls(value: str) -> tuple[str, ...]:
    """The URLs; a comma that no new URL follows belongs to the one before. Raises: ValueError that repeats none."""
    urls = tuple(re.split(r"\s*,\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)", value))
    if not all(re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", url) for url in urls):
        raise ValueError("must be a comma list of URLs such as mailto://user:password@example.com")
    return urls


def dotted_path(value: str) -> str:
    """Raises: ValueError when it does not look like package.module.Class."""
    if not _DOTTED.fullmatch(value):
        raise ValueError("must be the dotted path of a class")
    return value


def postgres_url(value: str) -> dict[str, Any]:
    """Django's description of the database. Raises: ValueError that does not repeat the value (it holds a password)."""
    if not value.startswith(("postgres://", "postgresql://")):
        raise ValueError("must begin with postgres:// (PostgreSQL is the only database)")
    try:
        described: dict[str, Any] = dict(environ.Env.db_url_config(value))
    except (ValueError, TypeError):
        raise ValueError("must be postgres://user:password@host:port/name") from None
    if "pool" in described.get("OPTIONS", {}):
        raise ValueError("must not ask for a pool: after a fork it hands one process another's rows")
    if not described.get("NAME"):
        raise ValueError("must name the database: postgres://user:password@host:port/name")
    return described
