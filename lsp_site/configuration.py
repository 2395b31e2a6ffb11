"""The configuration, read once: every fault is named at once, and then nothing starts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from lsp_site.declared import NODE_REQUIRED, VARIABLES
from lsp_site.names import misspelt
from lsp_site.places import is_everywhere, is_this_machine
from orders import blocks

Values = Mapping[str, Any]

_KEY_BYTES: Final = 32


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


def read(environment: Mapping[str, str], base: Path, found: Sequence[str] = ()) -> Configuration:
    """The configuration of this environment; nothing was made for it. `found`: the faults of the file it came from.

    Raises: ConfigurationFaults, with every fault.
    """
    values, faults = _parsed(environment)
    faults[:0] = [*found, *misspelt(environment)]
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
            values[variable.name] = variable.parse(_plain(written))
        except ValueError as error:
            faults.append(f"{variable.name} {error}.")
    return values, faults


def _plain(written: str) -> str:
    """The value, as somebody meant it. Raises: ValueError where who handed it to us left his own signs in it."""
    if not written.isprintable():
        raise ValueError("has an invisible character")
    if written[0] in "'\"" and written[-1] == written[0]:
        raise ValueError("stands in quotes that have become part of the value")
    if re.search(r"\$\{\w*\}", written):
        raise ValueError("has a ${…} that nobody has filled in")
    return written


def _complete(values: dict[str, Any], base: Path) -> None:
    """The defaults that depend on other values are filled in."""
    if values["LSP_HOME"] is None:
        values["LSP_HOME"] = base / ".lsp"
    if values["ONCHAIN_CONFIRMATIONS"] is None:
        values["ONCHAIN_CONFIRMATIONS"] = 1 if values["LND_NETWORK"] == "regtest" else 3
    if values["DIAL_PRIVATE_ADDRESSES"] is None:
        values["DIAL_PRIVATE_ADDRESSES"] = values["LND_NETWORK"] != "mainnet"
    if values["STAFF_MFA"] is None:
        values["STAFF_MFA"] = "required" if values["LND_NETWORK"] == "mainnet" else "optional"
    if values["LISTEN"] is None:
        return
    host, port = values["LISTEN"]
    here = f"http://{'127.0.0.1' if is_everywhere(host) else host}:{port}"
    if values["PUBLIC_URL"] is None and values["LND_NETWORK"] != "mainnet":
        values["PUBLIC_URL"] = here
    public = urlsplit(values["PUBLIC_URL"] or here)
    answered = values["ALLOWED_HOSTS"] or (_bracketed(public.hostname or ""), host)
    # The server asks itself whether it is there, and so do containers and timers.
    values["ALLOWED_HOSTS"] = tuple(dict.fromkeys([*answered, "localhost", "127.0.0.1", "[::1]"]))
    if values["CSRF_TRUSTED_ORIGINS"] is None:
        values["CSRF_TRUSTED_ORIGINS"] = (f"{public.scheme}://{public.netloc}",)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def required_cltv_blocks(values: Values) -> int:
    """Blocks that a held payment may have to last, with half as much again for fast blocks."""
    waiting = values["CLAIM_WINDOW_SECONDS"] + values["OPEN_WINDOW_SECONDS"] + values["GIVE_UP_GRACE_SECONDS"]
    fast_blocks = -(-waiting * 3 // (2 * blocks.SECONDS))
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


def _retries_come_in_time(values: Values) -> str | None:
    if values["RETRY_MAX_SECONDS"] <= values["OPEN_WINDOW_SECONDS"]:
        return None
    return "RETRY_MAX_SECONDS must not be above OPEN_WINDOW_SECONDS: such a retry never comes."


def _deposits_in_no_block_are_seen_by_a_source(values: Values) -> str | None:
    if not values["ZERO_CONF_MAX_SAT"] or values["CHAIN_RPC"]:
        return None
    return "ZERO_CONF_MAX_SAT needs CHAIN_RPC: LND tells neither what a deposit pays, nor that it was replaced."


def _leases_outlive_attempts(values: Values) -> str | None:
    if values["FUNDING_LEASE_SECONDS"] > values["FRESH_ATTEMPT_SECONDS"]:
        return None
    return "FUNDING_LEASE_SECONDS must be above FRESH_ATTEMPT_SECONDS: a fresh attempt still needs its coins."


def _mainnet_node_is_found(values: Values) -> str | None:
    if values["LND_NETWORK"] != "mainnet":
        return None
    hosts = [uri.partition("@")[2].rpartition(":")[0] for uri in values["NODE_URIS"] or ()]
    if not any(is_this_machine(host) for host in hosts):
        return None
    return "NODE_URIS must not name this machine itself on mainnet: no wallet could connect."


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


def _certificate_is_shown(values: Values) -> str | None:
    if values["CHAIN_RPC_CERT"] is None or (values["CHAIN_RPC"] or "").startswith("https:"):
        return None
    return "CHAIN_RPC_CERT needs a CHAIN_RPC that begins with https: nobody else shows a certificate."


def _limits_in_a_currency_have_a_rate(values: Values) -> str | None:
    wanted = [name for name in ("MOST_CHANNEL_IN_CURRENCY", "MOST_NODE_IN_CURRENCY") if values[name]]
    if not wanted or values["RATE_SOURCE"] is not None:
        return None
    return f"{wanted[0]} needs a RATE_SOURCE: without a rate nothing would be sold."


RULES: tuple[Callable[[Values], str | None], ...] = (
    _hold_covers_all_windows,
    _retries_grow,
    _retries_come_in_time,
    _deposits_in_no_block_are_seen_by_a_source,
    _leases_outlive_attempts,
    _mainnet_node_is_found,
    _mainnet_has_its_own_database,
    _mainnet_is_reached_safely,
    _mainnet_shows_no_debug_pages,
    _certificate_is_shown,
    _limits_in_a_currency_have_a_rate,
)


def own_key(values: Values, name: str) -> bytes:
    """The key kept in `LSP_HOME/name`. Where no server can run (neither a node nor a database is set) none is made:
    the one on a simulated node has a home of its own, and a second key beside it would be one too many to back up.

    Raises: ConfigurationFaults.
    """
    node = ("LND_GRPC", "LND_TLS_CERT", "LND_MACAROON", "LND_NETWORK", "DATABASE_URL")
    if not any(values[variable] for variable in node) and not (values["LSP_HOME"] / name).exists():
        return os.urandom(_KEY_BYTES)
    return kept_key(values["LSP_HOME"], name)


def kept_key(home: Path, name: str) -> bytes:
    """The 32 bytes kept in `home/name` (mode 0600), made now when they were not there.

    Repeat: safe, also by two processes at once: the first link wins and both read it.
    Raises: ConfigurationFaults when the file is not such a key.
    """
    path = home / name
    try:
        if not path.exists():
            _make_key(home, name)
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except OSError as error:
        raise ConfigurationFaults([f"{path} must be readable, or a folder to make it in: {error.strerror}."]) from None
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigurationFaults([f"{path} must hold 32 bytes in hex."])
    return key


def _make_key(home: Path, name: str) -> None:
    """The file is there, with all its bytes: ours, or that of a process that was first."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = home / f".{name}.{os.getpid()}"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(os.urandom(_KEY_BYTES).hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, home / name)
    except FileExistsError:
        pass  # the other process was first: its key counts
    finally:
        draft.unlink()
