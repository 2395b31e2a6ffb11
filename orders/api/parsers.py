"""Reads JSON bodies as RFC 8259 has them, and small ones only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any, Final, NoReturn

from django.http import UnreadablePostError
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

MAX_BODY_BYTES: Final = 64 * 1024
#: No request of ours nests deeper than one level; a little room for keys that we ignore.
MAX_DEPTH: Final = 16


class BodyTooLarge(APIException):
    """The body is larger than any request needs."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = f"The body must not have more than {MAX_BODY_BYTES} bytes."
    default_code = "too_large"


class StrictJSONParser(BaseParser):
    """JSON in UTF-8: no NaN, no key twice, no abyss. A charset in the content type means nothing (RFC 8259)."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Raises: ParseError with a sentence, BodyTooLarge."""
        if _announced_bytes(parser_context or {}) > MAX_BODY_BYTES:
            raise BodyTooLarge  # unread
        try:
            raw = stream.read(MAX_BODY_BYTES + 1)
        except UnreadablePostError:
            raise ParseError("The body ended early.") from None
        if len(raw) > MAX_BODY_BYTES:
            raise BodyTooLarge
        return parsed(raw)


def _announced_bytes(parser_context: Mapping[str, Any]) -> int:
    request = parser_context.get("request")
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0) if request is not None else 0
    except ValueError:
        return 0  # as Django reads it


def parsed(raw: bytes) -> Any:
    """The value that `raw` says. Raises: ParseError."""
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError:
        raise ParseError("The body is not UTF-8.") from None
    except RecursionError:
        raise ParseError("The JSON is nested too deeply.") from None
    except ValueError:  # its text would repeat the body
        raise ParseError("The body is not valid JSON.") from None
    if _is_deeper(value, MAX_DEPTH):
        raise ParseError("The JSON is nested too deeply.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ParseError("The JSON has a key twice.")
    return value


def _constant(name: str) -> NoReturn:
    raise ParseError(f"{name} is not JSON.")


def _is_deeper(value: Any, depth: int) -> bool:
    """Level by level instead of recursing: what is tested here is exactly what would exhaust the stack."""
    level = [value]
    for _ in range(depth):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return any(_children(parent) for parent in level)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
