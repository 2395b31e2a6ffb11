"""From the text of an environment variable to a typed value. A ValueError says what the text should have been."""

from __future__ import annotations

import logging
import os
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import environ
from psycopg.pq import Conninfo

from chain.access import Access

Parser = Callable[[str], Any]

_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{22,512}")
#: What was made by chance has more of them, even in hex.
_LEAST_LETTERS = 6
_RATE = re.compile(r"[1-9]\d{0,8}/(s|sec|second|m|min|minute|h|hour|d|day)")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_NETWORKS = ("mainnet", "testnet", "signet", "regtest")
#: As LND writes them; a file in hex begins with a digit.
_MACAROON_VERSION = b"\x02"
_SHORTEST_MACAROON_BYTES = 32
_LIBPQ_OPTIONS = {option.keyword.decode() for option in Conninfo.get_defaults()} - {"replication", "client_encoding"}
#: What django-environ would take from a URL, and what an operation's transactions rest on.
_DJANGOS_OPTIONS = {"ATOMIC_REQUESTS", "AUTOCOMMIT", "CONN_HEALTH_CHECKS", "DISABLE_SERVER_SIDE_CURSORS"}


def boolean(value: str) -> bool:
    """Raises: ValueError when it is neither a yes nor a no."""
    if value.lower() in ("1", "true", "yes", "on"):
        return True
    if value.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("must be on or off")


def one_of(*words: str) -> Parser:
    """A parser of one of these words."""

    def parse(value: str) -> str:
        if value.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return value.lower()

    return parse


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


def folder(value: str) -> Path:
    """An absolute path (a relative one counts from where the command was started). Raises: ValueError."""
    path = _path(value)
    there = next(step for step in (path, *path.parents) if os.path.exists(step))
    if not os.path.isdir(there):
        raise ValueError("must be a folder, and not a file or below one")
    return path


def _path(value: str) -> Path:
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        raise ValueError("must not begin with ~ here: it is not known whose home that is") from None


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"must name a file that we can read: {error.strerror}") from None


def certificate(value: str) -> str:
    """The path of a certificate. Raises: ValueError."""
    path = _path(value)
    raw = _contents(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=raw.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise ValueError("must name a certificate (-----BEGIN CERTIFICATE-----), and what is there is none") from None
    return str(path)


def macaroon(value: str) -> str:
    """The hex or the path. Raises: ValueError that does not repeat the value, which is a secret."""
    in_hex = re.fullmatch(r"([0-9a-fA-F]{2})+", value)
    try:
        raw = bytes.fromhex(value) if in_hex else _contents(_path(value))
    except ValueError:
        raise ValueError("must be the macaroon in hex, or the path of a file that we can read") from None
    if raw[:1] != _MACAROON_VERSION or len(raw) < _SHORTEST_MACAROON_BYTES:
        found = (
            "this hex is not that of a macaroon" if in_hex else "that file holds no macaroon (it must not be in hex)"
        )
        raise ValueError(f"must be the macaroon in hex, or the path of its file: {found}")
    return value if in_hex else str(_path(value))


def key(value: str) -> bytes:
    """32 bytes. Raises: ValueError that does not repeat the value, which is a secret."""
    if not _HEX_KEY.fullmatch(value):
        raise ValueError("must be 32 bytes in hex (64 hex digits)")
    return bytes.fromhex(value)


def token(value: str) -> str:
    """What can be guessed by nobody. Raises: ValueError that does not repeat the value, which is a secret."""
    if not _TOKEN.fullmatch(value) or len(set(value)) < _LEAST_LETTERS:
        raise ValueError("must be 22 characters or more, made by chance: letters, digits and . _ ~ + / = -")
    return value


def alert_urls(value: str) -> tuple[str, ...]:
    """The URLs; a comma that no new URL follows belongs to the one before. Raises: ValueError that repeats none."""
    urls = tuple(re.split(r"\s*,\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)", value))
    if not all(re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", url) for url in urls):
        raise ValueError("must be a comma list of URLs such as mailto://user:password@example.com")
    for number, url in enumerate(urls, start=1):
        if not _is_understood(url):
            raise ValueError(f"must have URLs that Apprise understands: number {number} is none")
    return urls


def _is_understood(url: str) -> bool:
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its lines repeat the URL
    import apprise  # half a second, which only who has alerts should wait for

    return apprise.Apprise.instantiate(url) is not None


def chain_rpc(value: str) -> str:
    """The URL. Raises: ValueError that does not repeat it (it holds a password)."""
    Access.parse(value)
    return value


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
    if not described.get("NAME"):
        raise ValueError("must name the database: postgres://user:password@host:port/name")
    options = described.get("OPTIONS", {})
    if "pool" in options:
        raise ValueError("must not ask for a pool: after a fork it hands one process another's rows")
    if options.keys() - _LIBPQ_OPTIONS or described.keys() & _DJANGOS_OPTIONS:
        raise ValueError("must have no other options behind the ? than those of PostgreSQL's own programs")
    return described
