"""From what the node says to values of ours. Whatever is not as it must be is Unreadable: nothing is believed half."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from chain.errors import Unreadable

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_SCRIPT: Final = re.compile(r"(?:[0-9a-f]{2}){0,10000}")
_COIN_SAT: Final = 10**8
_MOST_SAT: Final = 21 * 10**14
_MOST_WEIGHT: Final = 4_000_000
_MOST_HEIGHT: Final = 2**31
_MOST_INDEX: Final = 10**6

Point = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RawTransaction:
    """What a transaction spends and pays, and how much room it takes."""

    txid: str
    weight: int
    inputs: tuple[Point, ...]
    outputs_sat: dict[int, int]
    is_mined: bool

    @property
    def paid_sat(self) -> int:
        """All that it pays, without its fee."""
        return sum(self.outputs_sat.values())


def transaction(said: Any, txid: str) -> RawTransaction | None:
    """None: the node knows of none. Raises: Unreadable."""
    if said is None:
        return None
    row = _object(said)
    if row.get("txid") != txid:
        raise Unreadable("another transaction than was asked for")
    return RawTransaction(
        txid=txid,
        weight=_whole(row.get("weight"), 1, _MOST_WEIGHT),
        inputs=tuple(_point(each) for each in _list(row.get("vin"))),
        outputs_sat=dict(_output(each) for each in _list(row.get("vout"))),
        is_mined="blockhash" in row or bool(_whole(row.get("confirmations", 0), 0, _MOST_HEIGHT)),
    )


def unspent_sat(said: Any) -> int | None:
    """What an output of the chain is worth; None: it is in no block, or spent. Raises: Unreadable."""
    return None if said is None else _sat(_object(said).get("value"))


def script(said: Any) -> str | None:
    """The script of an output of the chain, in hex; None: it is in no block, or spent. Raises: Unreadable."""
    return None if said is None else _script(_object(said))


def scripts(said: Any, txid: str) -> dict[int, str]:
    """The scripts of a transaction's outputs; empty where the node knows of none. Raises: Unreadable."""
    if said is None:
        return {}
    row = _object(said)
    if row.get("txid") != txid:
        raise Unreadable("another transaction than was asked for")
    outputs = map(_object, _list(row.get("vout")))
    return {_whole(each.get("n"), 0, _MOST_INDEX): _script(each) for each in outputs}


def _script(output: dict[str, Any]) -> str:
    text = _object(output.get("scriptPubKey")).get("hex")
    if not isinstance(text, str) or not _SCRIPT.fullmatch(text):
        raise Unreadable("no script of an output")
    return text


def height(said: Any) -> int:
    """Raises: Unreadable."""
    return _whole(said, 0, _MOST_HEIGHT)


def block_hash(said: Any) -> str:
    """Raises: Unreadable."""
    if not isinstance(said, str) or not _HASH.fullmatch(said):
        raise Unreadable("no hash of a block")
    return said


def _point(said: Any) -> Point:
    row = _object(said)
    return block_hash(row.get("txid")), _whole(row.get("vout"), 0, _MOST_INDEX)


def _output(said: Any) -> tuple[int, int]:
    row = _object(said)
    return _whole(row.get("n"), 0, _MOST_INDEX), _sat(row.get("value"))


def _sat(said: Any) -> int:
    """An amount in coins, as satoshis."""
    is_number = type(said) is int or (isinstance(said, Decimal) and said.is_finite())
    if not is_number or not 0 <= said <= _MOST_SAT // _COIN_SAT or said * _COIN_SAT != int(said * _COIN_SAT):
        raise Unreadable("no amount")
    return int(said * _COIN_SAT)


def _whole(said: Any, low: int, high: int) -> int:
    if type(said) is not int or not low <= said <= high:
        raise Unreadable("a number is missing, or none that can be")
    return said


def _object(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise Unreadable("no object where one must be")
    return said


def _list(said: Any) -> list[Any]:
    if not isinstance(said, list):
        raise Unreadable("no list where one must be")
    return said
