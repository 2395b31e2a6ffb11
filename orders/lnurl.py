"""LNURL-channel's strings: pure. No framework, no I/O.

Spec: LUD-01 (the bech32 form), LUD-02 (channelRequest).
"""

from __future__ import annotations

import ipaddress
from base64 import b32encode
from collections.abc import Iterable
from functools import reduce
from operator import xor
from typing import Final

from bech32 import CHARSET, bech32_hrp_expand

#: The path of both steps, under the public URL.
PATH: Final = "/lnurl/channel"
TAG: Final = "channelRequest"


def callback_url(public_url: str) -> str:
    """Where a wallet names its node. It carries no query of its own: wallets append theirs."""
    return f"{public_url}{PATH}"


def channel_url(public_url: str, order_id: str) -> str:
    """What the LNURL of an order says, decoded."""
    return f"{callback_url(public_url)}?order_id={order_id}"


def encode(url: str) -> str:
    """`url` as a lower-case LNURL; LUD-01 lifts bech32's limit of 90 characters. Spec: BIP 173.

    Each order has one, so this does not take it bit by bit, as the library does that reads them.
    """
    said = b32encode(url.encode("ascii")).rstrip(b"=").translate(_TO_BECH32)
    rest = _rest(bytes(_CHECKSUM_LENGTH), _rest(said.translate(_TO_NUMBERS), _AFTER_PREFIX)) ^ 1
    checksum = "".join(CHARSET[rest >> 5 * place & 31] for place in reversed(range(_CHECKSUM_LENGTH)))
    return f"{_PREFIX}1{said.decode()}{checksum}"


def _rest(numbers: bytes, rest: int) -> int:
    """What is left of the polynomial, of these coefficients too, when it is divided by bech32's."""
    for number in numbers:
        rest = (rest & 0x1FFFFFF) << 5 ^ number ^ _MULTIPLES[rest >> 25]
    return rest


def _multiple(number: int) -> int:
    """Of bech32's generator, in five bits of a polynomial at a time."""
    return reduce(xor, (row for bit, row in enumerate(_GENERATOR) if number >> bit & 1), 0)


_PREFIX: Final = "lnurl"
_CHECKSUM_LENGTH: Final = 6
_TO_BECH32: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", CHARSET.encode())
_TO_NUMBERS: Final = bytes.maketrans(CHARSET.encode(), bytes(range(32)))
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_MULTIPLES: Final = tuple(map(_multiple, range(32)))
_AFTER_PREFIX: Final = _rest(bytes(bech32_hrp_expand(_PREFIX)), 1)


def best_uri(uris: Iterable[str]) -> str:
    """The address that most wallets can dial: IPv4 or DNS, then IPv6, then onion; "" where there is none."""
    return min((uri for uri in uris if _dialable(uri)), key=_difficulty, default="")


def ordered(uris: Iterable[str]) -> list[str]:
    """The easiest to dial first; the node's own order among equals."""
    return sorted(uris, key=_difficulty)


def _dialable(uri: str) -> bool:
    key, _, host = uri.partition("@")
    return bool(key and host)


def _difficulty(uri: str) -> int:
    host = uri.partition("@")[2].rpartition(":")[0]
    if host.endswith(".onion"):
        return 2
    try:
        return int(ipaddress.ip_address(host.strip("[]")).version == 6)
    except ValueError:
        return 0  # a DNS name
