"""Parameters by name, as bLIP-50 has them: each is read, or the refusal names it. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final, NoReturn
from uuid import UUID

from lightning.transactions import address_script, check_address
from lightning.types import NodeAddress
from lsps.refusing import INVALID_PARAMS, NOT_FOUND, Refusal, invalid, unrecognized
from orders.options import MAX_MONEY_SAT

UINT16: Final = 2**16 - 1
UINT32: Final = 2**32 - 1
UINT64: Final = 2**64 - 1
#: Wallets send these besides what the methods have: who they are, and where.
TOLERATED: Final = frozenset({"public_key", "node_uri", "host", "client_info"})

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
#: As bLIP-50 has it; with fewer decimals too, as one wallet writes back what it was told.
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|\+00:00)", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
#: Version 0 with 20 or 32 bytes, version 1 with 32.
_SEGWIT: Final = re.compile(r"0014[0-9a-f]{40}|(00|51)20[0-9a-f]{64}")
#: The longest `key@host:port`: 66 + 1 + 255 and a port.
_NODE_LENGTH: Final = 330
_ADDRESS_LENGTH: Final = 100


class Params:
    """What a method was sent, read one by one."""

    def __init__(self, sent: Any, known: Collection[str]) -> None:
        if not isinstance(sent, Mapping):
            raise Refusal(INVALID_PARAMS, "The parameters must be an object: they go by name.")
        unknown = [_written(str(name)) for name in sent if name not in known and name not in TOLERATED]
        if unknown:
            raise unrecognized(unknown)
        self._sent: Mapping[str, Any] = sent

    def amount(self, name: str) -> int:
        """Satoshis: a string of digits, as bLIP-50 has it; a JSON integer is taken too."""
        return self._number(name, most=MAX_MONEY_SAT, kind="a string of the decimal digits of so many satoshis")

    def msat(self, name: str) -> int:
        """Millisatoshis: as `amount`, and as many as fit into 64 bits."""
        kind = "a string of the decimal digits of so many millisatoshis"
        return self._number(name, most=UINT64, kind=kind)

    def maybe_msat(self, name: str) -> int | None:
        """As `msat`; None where it is absent, or null."""
        return None if self._sent.get(name) is None else self.msat(name)

    def moment(self, name: str) -> datetime:
        """A time in UTC; what is below a microsecond is left out."""
        value = self._required(name)
        if not isinstance(value, str) or not _MOMENT.fullmatch(value):
            raise invalid(name, "must be a time as 2026-01-31T12:00:00.000Z")
        whole, _, rest = value.removesuffix("Z").removesuffix("+00:00").partition(".")
        try:
            return datetime.fromisoformat(f"{whole}.{rest[:6]:0<6}+00:00")
        except ValueError:
            raise invalid(name, "must be a time that there is") from None

    def within(self, name: str, known: Collection[str]) -> Params:
        """The parameters of an object that is one."""
        value = self._required(name)
        if not isinstance(value, Mapping):
            raise invalid(name, "must be an object")
        if unknown := [f"{name}.{_written(str(each))}" for each in value if each not in known]:
            raise unrecognized(unknown)
        return Params(value, known)

    def number(self, name: str, *, most: int) -> int:
        """A JSON integer; the same in a string is taken too: one wallet sends it so over Lightning."""
        return self._number(name, most=most, kind="an integer")

    def _number(self, name: str, *, most: int, kind: str) -> int:
        value = self._required(name)
        if isinstance(value, str) and _DECIMAL.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid(name, f"must be {kind}")
        if not 0 <= value <= most:
            raise invalid(name, f"must be from 0 to {most}")
        return value

    def yes_or_no(self, name: str) -> bool:
        """A JSON boolean."""
        value = self._required(name)
        if not isinstance(value, bool):
            raise invalid(name, "must be true or false")
        return value

    def text(self, name: str, *, longest: int) -> str:
        """A string; "" where there is none, or null."""
        value = self._sent.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise invalid(name, "must be a string")
        if len(value) > longest:
            raise invalid(name, f"must not have more than {longest} characters")
        if "\0" in value or not _is_text(value):
            raise invalid(name, "must be a string of characters that can be written down")
        return value

    def filled(self, name: str, *, longest: int) -> str:
        """As `text`, and it is there."""
        self._required(name)
        return self.text(name, longest=longest)

    def token(self, name: str, *, longest: int) -> str | None:
        """As `text`; null is told from "": it is mirrored as it came."""
        is_null = name in self._sent and self._sent[name] is None
        return None if is_null else self.text(name, longest=longest)

    def address(self, name: str, *, network: str) -> str:
        """A segwit address of our network; "" where there is none."""
        text = self.text(name, longest=_ADDRESS_LENGTH)
        if not text:
            return ""
        try:
            check_address(text, network)
        except ValueError as error:
            raise _invalid_because(name, error) from None
        if not _SEGWIT.fullmatch(address_script(text)):
            raise invalid(name, "must be a segwit address: P2WPKH, P2WSH or P2TR")
        return text

    def node(self, name: str) -> NodeAddress | None:
        """`key`, or `key@host:port`; None where it is absent."""
        text = self.text(name, longest=_NODE_LENGTH)
        if not text:
            return None
        try:
            return NodeAddress.parse(text)
        except ValueError as error:
            raise _invalid_because(name, error) from None

    def order_id(self, name: str) -> UUID:
        """What cannot be an order's id is the id of no order."""
        text = self._required(name)
        if not isinstance(text, str):
            raise invalid(name, "must be a string")
        if not _UUID.fullmatch(text):
            no_order(name)
        return UUID(text)

    def _required(self, name: str) -> Any:
        value = self._sent.get(name)
        if value is None:
            raise invalid(name, "is required")
        return value


def no_order(name: str = "order_id") -> NoReturn:
    """Raises: Refusal, the same for an order that never was and for one that is somebody else's."""
    raise Refusal(NOT_FOUND, "Order not found.", name)


def _invalid_because(name: str, error: ValueError) -> Refusal:
    return Refusal(INVALID_PARAMS, str(error), name)


def _written(name: str) -> str:
    """As it can be told: of what is half a letter a question mark."""
    return name.encode(errors="replace").decode()


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a pair
        return False
    return True
