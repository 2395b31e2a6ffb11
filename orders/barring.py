"""Whom we do not serve, by what staff have listed: one rule, pure. Why they have listed it is theirs to know."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from typing import Final

from django.db import models

from lightning import addresses, transactions
from lightning.addresses import IPAddress
from lightning.types import NodeAddress

#: As long as its column.
LONGEST_VALUE: Final = 255
#: A host is read as that of a node.
_ANY_KEY: Final = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"


class BanKind(models.TextChoices):
    """What is listed."""

    NODE = "node", "node"
    HOST = "host", "node host"
    REFUND_ADDRESS = "refund_address", "refund address"
    PAYER = "payer", "payer's address"


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody would be served with; empty is what nobody has said."""

    node: str = ""
    host: str = ""  # `name:port`
    refund_address: str = ""
    payers: Collection[str] = ()  # output scripts in hex


def kinds(asked: Asked) -> list[BanKind]:
    """Lines of which kinds can concern it: what nobody has said is on no list, however long that is."""
    said = {
        BanKind.NODE: asked.node,
        BanKind.HOST: asked.host,
        BanKind.REFUND_ADDRESS: asked.refund_address,
        BanKind.PAYER: asked.payers,
    }
    return [kind for kind, value in said.items() if value]


def objection(asked: Asked, listed: Iterable[Listed]) -> BanKind | None:
    """What of it is listed; None: nothing is, and it is served."""
    return next((BanKind(line.kind) for line in listed if _is_meant(asked, line)), None)


def _is_meant(asked: Asked, line: Listed) -> bool:
    if line.kind == BanKind.NODE:
        return asked.node == line.value
    if line.kind == BanKind.HOST:
        return bool(asked.host) and _covers(line.value, asked.host.rpartition(":")[0])
    if line.kind == BanKind.REFUND_ADDRESS:
        return bool(asked.refund_address) and _script_of(asked.refund_address) == _script_of(line.value)
    return bool(asked.payers) and _script_of(line.value) in asked.payers


@lru_cache(maxsize=8192)
def _script_of(address: str) -> str:
    """Lists of thousands are gone through at each claim and look, and read from the letters but once."""
    return transactions.address_script(address)


def _covers(value: str, name: str) -> bool:
    """The host is the name, below the `.suffix`, or in the network. A name is compared as it is written."""
    name = name.lower().rstrip(".")
    if value.startswith("."):
        return f".{name}".endswith(value)
    try:
        network = ip_network(value)
    except ValueError:
        return name == value
    return any(address in network for address in _addresses(name))


def _addresses(name: str) -> Iterator[IPAddress]:
    """The address that the host is, and the one that it leads to; nothing where it is a name."""
    try:
        address = addresses.literal(name)
    except ValueError:
        return
    if address is not None:
        yield address
        inner = addresses.leads_to(address) if address.version == 6 else None
        if inner is not None:
            yield inner


def read(kind: BanKind, text: str, network: str) -> str:
    """What was typed, in the one way in which it is compared. Raises: ValueError with a sentence for who typed it."""
    text = text.strip()
    if not text or len(text) > LONGEST_VALUE:
        raise ValueError(f"A value of 1 to {LONGEST_VALUE} characters is required.")
    if kind is BanKind.NODE:
        return NodeAddress.parse(text.partition("@")[0]).pubkey
    if kind is BanKind.HOST:
        return _read_host(text.lower())
    transactions.check_address(text, network)
    return text if transactions.address_script(text) != _script(text.lower()) else text.lower()


def _script(text: str) -> str:
    """Of an address that may be none any more, once its letters are small."""
    try:
        return transactions.address_script(text)
    except ValueError:
        return ""


def _read_host(text: str) -> str:
    """A name, `.suffix` or `*.suffix`, an address, or a network such as 203.0.113.0/24."""
    try:
        return str(ip_network(text.strip("[]"), strict=False))
    except ValueError:
        pass
    suffix = text.removeprefix("*") if text.startswith("*.") else text
    name = suffix.removeprefix(".").rstrip(".")
    try:
        is_name = addresses.literal(name) is None
        NodeAddress.parse(f"{_ANY_KEY}@{name}:9735")
    except ValueError:
        is_name = False
    if not is_name:
        raise ValueError("A host is a name, .suffix, address, or network such as 203.0.113.0/24.")
    return f".{name}" if suffix.startswith(".") else name
