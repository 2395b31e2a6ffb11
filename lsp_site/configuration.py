"""The configuration, read once: every fault is named at once, and then nothing starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lsp_site.declared import NODE_REQUIRED, VARIABLES

Values = Mapping[str, Any]

BLOCK_SECONDS = 600


class ConfigurationFaults(Exception):
    """All that is wrong with the configuration, one sentence each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(["The configuration cannot be used:", *(f"  - {fault}" for fault in faults)]))


@dataclass(frozen=True, slots=True)
class Configuration:
    """The values by name. Absent ones without a default are None."""

    values: Values

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def missing_node_variables(self) -> tuple[str, ...]:
        """What the server needs and the other commands do not."""
        return tuple(name for name in NODE_REQUIRED if self.values[name] is None)


def read(environment: Mapping[str, str], base: Path) -> Configuration:
    """The configuration of this environment; nothing was made or opened for it.

    Raises: ConfigurationFaults, with every fault.
    """
    values, faults = _parsed(environment)
    _complete(values, base)
    for rule in RULES:
        try:
            fault = rule(values)
        except TypeError:  # a value it compares is itself faulty, and named already
            continue
        if fault:
            faults.append(fault)
    if faults:
        raise ConfigurationFaults(faults)
    return Configuration(values)


def _parsed(environment: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    faults: list[str] = []
    for variable in VARIABLES.values():
        written = environment.get(variable.name, "").strip() or variable.default
        values[variable.name] = None
        if written is None:
            continue
        try:
            values[variable.name] = variable.parse(written)
        except ValueError as error:
            faults.append(f"{variable.name} {error}.")
    return values, faults


def _complete(values: dict[str, Any], base: Path) -> None:
    """The defaults that depend on other values are filled in."""
    if values["LSP_HOME"] is None:
        values["LSP_HOME"] = base / ".lsp"
    if values["ONCHAIN_CONFIRMATIONS"] is None:
        values["ONCHAIN_CONFIRMATIONS"] = 1 if values["LND_NETWORK"] == "regtest" else 3
    if values["DIAL_PRIVATE_ADDRESSES"] is None:
        values["DIAL_PRIVATE_ADDRESSES"] = values["LND_NETWORK"] != "mainnet"
    if values["LISTEN"] is None:
        return
    host, port = values["LISTEN"]
    if values["PUBLIC_URL"] is None and values["LND_NETWORK"] != "mainnet":
        values["PUBLIC_URL"] = f"http://{host}:{port}"
    public = urlsplit(values["PUBLIC_URL"] or f"http://{host}:{port}")
    if values["ALLOWED_HOSTS"] is None:
        values["ALLOWED_HOSTS"] = tuple(dict.fromkeys([public.hostname, host, "localhost", "127.0.0.1", "[::1]"]))
    if values["CSRF_TRUSTED_ORIGINS"] is None:
        values["CSRF_TRUSTED_ORIGINS"] = (f"{public.scheme}://{public.netloc}",)


def required_cltv_blocks(values: Values) -> int:
    """Blocks that a held payment may have to last, with half as much again for fast blocks."""
    waiting = values["CLAIM_WINDOW_SECONDS"] + values["OPEN_WINDOW_SECONDS"] + values["GIVE_UP_GRACE_SECONDS"]
    fast_blocks = -(-waiting * 3 // (2 * BLOCK_SECONDS))
    return int(values["PUBLISH_MARGIN_BLOCKS"] + values["SPARE_BLOCKS"] + fast_blocks)


def _hold_covers_all_windows(values: Values) -> str | None:
    needed = required_cltv_blocks(values)
    if values["HOLD_CLTV_BLOCKS"] >= needed:
        return None
    return (
        f"HOLD_CLTV_BLOCKS ({values['HOLD_CLTV_BLOCKS']}) must be at least {needed}: the sum of PUBLISH_MARGIN_BLOCKS, "
        "SPARE_BLOCKS and one and a half times the blocks of CLAIM_WINDOW_SECONDS, OPEN_WINDOW_SECONDS and "
        "GIVE_UP_GRACE_SECONDS."
    )


def _retries_grow(values: Values) -> str | None:
    if values["RETRY_FIRST_SECONDS"] <= values["RETRY_MAX_SECONDS"]:
        return None
    return "RETRY_FIRST_SECONDS must not be above RETRY_MAX_SECONDS."


def _mainnet_has_its_own_database(values: Values) -> str | None:
    if values["LND_NETWORK"] != "mainnet" or values["DATABASE_URL"] is not None:
        return None
    return "DATABASE_URL must be set on mainnet: the embedded database is for development."


def _mainnet_is_reached_safely(values: Values) -> str | None:
    if values["LND_NETWORK"] != "mainnet":
        return None
    public = urlsplit(values["PUBLIC_URL"] or "")
    if public.scheme == "https" or (public.hostname or "").endswith(".onion"):
        return None
    return "PUBLIC_URL must be https or .onion on mainnet."


def _mainnet_shows_no_debug_pages(values: Values) -> str | None:
    if values["LND_NETWORK"] == "mainnet" and values["DEBUG"]:
        return "DEBUG must be off on mainnet."
    return None


RULES: tuple[Callable[[Values], str | None], ...] = (
    _hold_covers_all_windows,
    _retries_grow,
    _mainnet_has_its_own_database,
    _mainnet_is_reached_safely,
    _mainnet_shows_no_debug_pages,
)


def kept_key(home: Path, name: str) -> bytes:
    """The 32 bytes kept in `home/name` (mode 0600), made now when they were not there.

    Repeat: safe, also by two processes at once: the first link wins and both read it.
    Raises: ConfigurationFaults when the file is not such a key.
    """
    path = home / name
    if not path.exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = home / f".{name}.{os.getpid()}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(os.urandom(32).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # the other process was first: its key counts
        finally:
            draft.unlink()
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except (ValueError, OSError):
        key = b""
    if len(key) != 32:
        raise ConfigurationFaults([f"{path} must hold 32 bytes in hex and be readable."])
    return key
