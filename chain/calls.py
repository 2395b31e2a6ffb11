"""Calls of JSON-RPC, several in one request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from chain.access import Access
from chain.errors import ChainUnavailable, Unreadable
from chain.transport import exchange

#: Bitcoin Core and btcd alike: of that transaction nothing is known.
_NOT_FOUND: Final = -5

Call = tuple[str, Sequence[Any]]


def ask(access: Access, calls: Sequence[Call], *, until: float, most_bytes: int) -> list[Any]:
    """The answers in the order of the calls; None: there is no such thing. Their types are not looked at here.

    Raises: ChainUnavailable, Unreadable.
    """
    said = [{"jsonrpc": "2.0", "id": n, "method": name, "params": given} for n, (name, given) in enumerate(calls)]
    heard = exchange(access, json.dumps(said).encode(), until=until, most_bytes=most_bytes)
    return _answers(_parsed(heard), len(calls))


def _parsed(heard: bytes) -> Any:
    try:
        return json.loads(heard, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, ArithmeticError, RecursionError):  # ValueError: also a number of too many digits
        raise Unreadable("the answer is no JSON") from None


def _refuse(_constant: str) -> None:
    raise ValueError


def _answers(heard: Any, count: int) -> list[Any]:
    if not isinstance(heard, list) or not all(isinstance(answer, dict) for answer in heard):
        raise Unreadable("the answer is no list of answers")
    by_number = {answer.get("id"): answer for answer in heard if type(answer.get("id")) is int}
    if len(heard) != count or by_number.keys() != set(range(count)):
        raise Unreadable("not each call has its answer")
    return [_result(by_number[number]) for number in range(count)]


def _result(answer: dict[str, Any]) -> Any:
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    code = error.get("code") if isinstance(error, dict) else None
    if code == _NOT_FOUND:
        return None
    raise ChainUnavailable(f"it answers with error {code}" if type(code) is int and abs(code) < 10**6 else "an error")
