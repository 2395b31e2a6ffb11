"""What is too long to be read is refused in the manner of its path: no application ever sees such a request."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from django.http import HttpRequest, HttpResponse
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine

from orders.api.problems import Problem

#: The path that is asked for, of however much of a request has come.
_PATH: Final = re.compile(rb"(?:\r\n)?[^ ]* (?:https?://[^/ ]*)?([^ ?#]*)")
#: Its answer has no body (RFC 9110, 9.3.2).
_HEAD: Final = re.compile(rb"(?:\r\n)?HEAD ")
TOO_LONG: Final = (LimitRequestLine, LimitRequestHeaders)


def refusal(request: bytes, error: LimitRequestLine | LimitRequestHeaders) -> bytes:
    """The whole answer; the connection ends with it."""
    from lsps.rest import errors  # not before gunicorn has the application

    if isinstance(error, LimitRequestLine):
        problem = Problem(414, "uri_too_long", "The request's first line, with path and query, is too long.")
    else:
        problem = Problem(431, "headers_too_large", "The request's headers are too large, or too many.")
    asked = HttpRequest()
    asked.path_info = _path(request)
    answer = errors.answer(problem, asked)
    answer["Connection"] = "close"
    answer["Content-Length"] = str(len(answer.content))
    return _written(answer, has_body=not _HEAD.match(request))


def _written(answer: HttpResponse, *, has_body: bool) -> bytes:
    line = f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}\r\n".encode()
    return line + answer.serialize_headers() + b"\r\n\r\n" + (answer.content if has_body else b"")


def _path(request: bytes) -> str:
    found = _PATH.match(request)
    return unquote_to_bytes(found[1]).decode(errors="replace") if found else ""
