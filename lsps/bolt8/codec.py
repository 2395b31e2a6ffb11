"""What a message says, and how one is written: bytes in, values out. Pure. Spec: bLIP-50, JSON-RPC 2.0."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from lsps.refusing import INTERNAL, INVALID_PARAMS, NO_REQUEST, NOT_JSON, Refusal

#: The type of all these messages, both ways.
MESSAGE_TYPE: Final = 37_913
#: What one message of Lightning's holds after its type.
MOST_BYTES: Final = 65_533
#: No request nests deeper than a few levels; a little room for what we ignore.
_MOST_DEPTH: Final = 16
#: Ids are a few dozen characters long. One that would not fit into its own answer is none.
_MOST_ID: Final = 1_000

_ESCAPES: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_BROKEN: Final = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Call:
    """A request: it has one answer."""

    id: str
    method: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unfit:
    """No request; it is answered all the same, by its id where that can be read."""

    id: str | None
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing is answered. Who answered an answer, or what wants none, could have it go on for ever."""

    why: str


def read(payload: bytes) -> Call | Unfit | Ignored:
    """What the message says."""
    said = _object(payload)
    if said is None:
        return Unfit(None, Refusal(NOT_JSON, "The message is not one JSON object in UTF-8."))
    if "method" not in said and ("result" in said or "error" in said):
        return Ignored("an answer, and we have asked nothing")
    if "id" not in said and isinstance(said.get("method"), str):
        return Ignored("a notification")
    return _request(said)


def _request(said: Mapping[str, Any]) -> Call | Unfit:
    asked_by, method, params = said.get("id"), said.get("method"), said.get("params", {})
    if not isinstance(asked_by, str) or len(asked_by) > _MOST_ID:
        return Unfit(None, Refusal(NO_REQUEST, f"id must be a string of at most {_MOST_ID} characters."))
    if said.get("jsonrpc") != "2.0":
        return Unfit(asked_by, Refusal(NO_REQUEST, 'jsonrpc must be "2.0".'))
    if not isinstance(method, str):
        return Unfit(asked_by, Refusal(NO_REQUEST, "method must be a string."))
    if not isinstance(params, dict):
        return Unfit(asked_by, Refusal(INVALID_PARAMS, "The parameters must be an object: they go by name."))
    return Call(asked_by, method, params)


def _object(payload: bytes) -> dict[str, Any] | None:
    """The one JSON object that the payload is."""
    if len(payload) > MOST_BYTES or 0 in payload:
        return None
    try:
        text = payload.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # what is not UTF-8 is a ValueError; a number of thousands of digits too
        return None
    if not isinstance(value, dict) or _is_deep(value) or not _is_plain(text, value):
        return None
    return value


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
    """The answer to a request; one that would not fit into a message says so instead."""
    payload = _written({"jsonrpc": "2.0", "id": asked_by, "result": value})
    if len(payload) > MOST_BYTES:
        return error(asked_by, {"code": INTERNAL, "message": "The answer does not fit into a message."})
    return payload


def error(asked_by: str | None, problem: Mapping[str, Any]) -> bytes:
    """The answer that says why there is no result; without its data where it would not fit with it."""
    payload = _written({"jsonrpc": "2.0", "id": asked_by, "error": problem})
    if len(payload) > MOST_BYTES:
        bare = {"code": problem["code"], "message": problem["message"][:_MOST_ID]}
        return _written({"jsonrpc": "2.0", "id": asked_by, "error": bare})
    return payload


def _written(message: Mapping[str, Any]) -> bytes:
    """In letters that need no escape; what cannot be written so is a defect of ours."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
