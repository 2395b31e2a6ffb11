"""What a message says, and how one is written: bytes in, values out. Pure. Spec: bLIP-50, JSON-RPC 2.0."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

#: The type of all these messages, both ways.
MESSAGE_TYPE: Final = 37_913
#: What one message of Lightning's holds after its type.
MOST_BYTES: Final = 65_533
#: No request nests deeper than a few levels; a little room for what we ignore.
_MOST_DEPTH: Final = 16
#: Ids are a few dozen characters long. One that would not fit into its own answer is none.
_MOST_ID: Final = 1_000

PARSE_ERROR: Final = -32_700
INVALID_REQUEST: Final = -32_600
METHOD_NOT_FOUND: Final = -32_601
INVALID_PARAMS: Final = -32_602
INTERNAL_ERROR: Final = -32_603

_ESCAPES: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_BROKEN: Final = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Call:
    """A request: it has one answer."""

    id: str
    method: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing is answered: an answer to an answer, or to what wants none, could go on for ever."""

    why: str


class Fault(Exception):
    """What is answered instead of a result. `data` is left out where it is None."""

    def __init__(self, code: int, message: str, data: Any = None, *, id: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data, self.id = code, message, data, id


def read(payload: bytes) -> Call | Ignored:
    """What the message says. Raises: Fault, with the request's id where it has one that can be read."""
    said = _object(payload)
    if "method" not in said and ("result" in said or "error" in said):
        return Ignored("an answer, and we have asked nothing")
    if isinstance(said.get("method"), str) and "id" not in said:
        return Ignored("a notification")
    asked_by = _id(said.get("id"))
    if said.get("jsonrpc") != "2.0":
        raise Fault(INVALID_REQUEST, 'jsonrpc must be "2.0"', id=asked_by)
    if asked_by is None:
        raise Fault(INVALID_REQUEST, f"id must be a string of at most {_MOST_ID} characters")
    if not isinstance(said.get("method"), str):
        raise Fault(INVALID_REQUEST, "method must be a string", id=asked_by)
    params = said.get("params", {})
    if not isinstance(params, dict):
        raise Fault(INVALID_PARAMS, "params must be an object", {"unrecognized": []}, id=asked_by)
    return Call(asked_by, said["method"], params)


def _id(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= _MOST_ID else None


def _object(payload: bytes) -> dict[str, Any]:
    """The one JSON object that the payload is. Raises: Fault."""
    if len(payload) > MOST_BYTES or 0 in payload:
        raise _unreadable()
    try:
        text = payload.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        if not isinstance(value, dict) or _is_deep(value) or not _is_plain(text, value):
            raise _unreadable()
    except (ValueError, RecursionError):  # UnicodeDecodeError is one; a number of thousands of digits too
        raise _unreadable() from None
    return value


def _unreadable() -> Fault:
    return Fault(PARSE_ERROR, "The message is not one JSON object in UTF-8.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _is_deep(value: dict[str, Any]) -> bool:
    level: list[Any] = [value]
    for _ in range(_MOST_DEPTH):
        level = [child for parent in level for child in _children(parent)]
    return bool(level)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _is_plain(text: str, value: dict[str, Any]) -> bool:
    """No string has the character 0, or half of a pair: neither a database nor an answer could hold it."""
    return not _ESCAPES.search(text) or not any(_BROKEN.search(each) for each in _strings(value))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
    for child in _children(value):
        yield from _strings(child)


def result(asked_by: str, value: Any) -> bytes:
    """The answer to a request, whole; one that would not fit into a message says so instead."""
    payload = _written({"jsonrpc": "2.0", "id": asked_by, "result": value})
    if len(payload) > MOST_BYTES:
        return fault(Fault(INTERNAL_ERROR, "The answer does not fit into a message.", id=asked_by))
    return payload


def fault(problem: Fault) -> bytes:
    """The answer that says why there is no result; without its data where it would not fit."""
    error = {"code": problem.code, "message": problem.message}
    told = error if problem.data is None else error | {"data": problem.data}
    payload = _written({"jsonrpc": "2.0", "id": problem.id, "error": told})
    if len(payload) > MOST_BYTES:
        return _written({"jsonrpc": "2.0", "id": problem.id, "error": error})
    return payload


def _written(message: dict[str, Any]) -> bytes:
    """By its letters, which need no escape (L0-33); what cannot be written so is a defect of ours."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
