"""Checks of this machine and of the settings. Pure: values in, a finding out."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from watch.doctor.finding import Finding, failure, ok, warning

_MIB: Final = 1024 * 1024
_DISK_LOW_BYTES: Final = 1024 * _MIB
_DISK_FULL_BYTES: Final = 200 * _MIB
_CLOCKS_APART_SECONDS: Final = 5
_CLOCKS_WRONG_SECONDS: Final = 60


def disk(free_bytes: int, folder: str) -> Finding:
    """There is room where the server keeps its files."""
    seen = f"{free_bytes // _MIB:,} MiB free in {folder}"
    mend = "Make room: a full disk stops the embedded database, and LND where it shares the disk."
    if free_bytes < _DISK_FULL_BYTES:
        return failure("disk", seen, mend)
    return warning("disk", seen, mend) if free_bytes < _DISK_LOW_BYTES else ok("disk", seen)


def clock(apart_seconds: int) -> Finding:
    """Our clock is the database's: orders expire and attempts end by them."""
    seen = f"{apart_seconds:,} s from the database's"
    mend = "Let both machines follow NTP."
    if abs(apart_seconds) > _CLOCKS_WRONG_SECONDS:
        return failure("clock", seen, mend)
    return warning("clock", seen, mend) if abs(apart_seconds) > _CLOCKS_APART_SECONDS else ok("clock", seen)


def debug(is_on: bool, public_url: str) -> Finding:
    """Django's error pages, which tell much, are off where strangers come."""
    if not is_on:
        return ok("debug", "off")
    bad = warning if is_loopback(public_url) else failure
    return bad("debug", "on", "Set DEBUG=off.")


def public_url(url: str) -> Finding:
    """Wallets can reach us, and nobody on the way reads an order's token."""
    if is_loopback(url):
        return warning("public_url", f"{url} is this machine only", "Set PUBLIC_URL to where buyers reach the server.")
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.hostname or "").endswith(".onion"):
        return ok("public_url", url)
    return failure("public_url", url, "Put a proxy with TLS before the server, and set PUBLIC_URL to its https URL.")


def is_loopback(url: str) -> bool:
    """The URL leads to this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
