"""How a client is told that we refuse: one mapping for all of the API (which words: orders.api.problems).

Three manners: a proper HTTP status at the specification's own paths; status 200 with the same body at the paths of
the first server, whose clients read nothing else; `status: ERROR` with a reason for wallets that speak LNURL.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

from lightning.errors import LightningError
from orders import lnurl
from orders.api import problems
from orders.api.problems import Problem, Unreadable
from orders.errors import DATABASE_TROUBLE, OrderError

log = logging.getLogger(__name__)

#: The mounts for clients of the first server.
LEGACY_MOUNTS: Final = ("v1", "api/v1")
_RETRY_SECONDS: Final = 10


NOT_FOUND: Final = Problem(404, "not_found", "There is nothing at this path.")
BAD_REQUEST: Final = Problem(400, "malformed", "The request is malformed.")
INTERNAL: Final = Problem(500, "internal", "Something went wrong on our side.")


def handle(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """The answer to a request that raised `error`; None: a defect of ours, for Django to log and answer."""
    problem = problem_of(error)
    if problem is None:
        return None
    request = context["request"]._request
    response = Response(_body(problem, request), status=_status(problem, request))
    for name, value in _headers(problem).items():
        response[name] = value
    if isinstance(error, exceptions.MethodNotAllowed):
        response["Allow"] = ", ".join(context["view"].allowed_methods)
    return response


def answer(problem: Problem, request: HttpRequest) -> HttpResponse:
    """The same, where no view was reached."""
    return JsonResponse(_body(problem, request), status=_status(problem, request), headers=_headers(problem))


def server_error(request: HttpRequest) -> HttpResponse:
    """Of a defect. The exception is in the log."""
    if _speaks_lnurl(request):  # answered with 200, which Django logs as a success
        log.exception("defect while answering %s", request.path)
    return answer(INTERNAL, request)


def problem_of(error: Exception) -> Problem | None:
    """Why `error` refuses a request; None: it is a defect of ours."""
    match error:
        case OrderError():
            return problems.of(error)
        case Unreadable():
            return error.problem
        case exceptions.APIException():
            return _of_framework(error)
        case LightningError():
            log.warning("the node did not answer a buyer: %s %s", type(error).__name__, error.reason)
            return Problem(503, "not_available", "The Lightning node cannot be reached now.", None, _RETRY_SECONDS)
        case _ if isinstance(error, DATABASE_TROUBLE):
            log.exception("the database did not answer a buyer")
            return Problem(503, "not_available", "The service is not available now.", None, _RETRY_SECONDS)
        case Http404():
            return NOT_FOUND
        case RequestDataTooBig():
            return Problem(413, "too_large", "The body is too large.")
        case SuspiciousOperation():
            return BAD_REQUEST
    return None


def too_many(wait_seconds: int) -> Problem:
    """Who asks too often is told when to come back."""
    return Problem(429, "throttled", f"Too many requests: wait {wait_seconds} seconds.", None, wait_seconds)


def _of_framework(error: exceptions.APIException) -> Problem:
    if isinstance(error, exceptions.Throttled):
        return too_many(max(1, math.ceil(getattr(error, "wait", None) or 1)))
    if isinstance(error, exceptions.MethodNotAllowed):
        return Problem(405, "method_not_allowed", "This method is not allowed here.")  # not repeated: it is theirs
    if isinstance(error, exceptions.UnsupportedMediaType):
        return Problem(415, "unsupported_media_type", "The body must be application/json.")
    if isinstance(error, exceptions.ParseError):
        return Problem(400, "malformed", str(error.detail))
    return Problem(error.status_code, error.default_code, str(error.detail))


def _body(problem: Problem, request: HttpRequest) -> dict[str, Any]:
    if _speaks_lnurl(request):
        return {"status": "ERROR", "reason": problem.message}
    return dict(problem.told)


def _status(problem: Problem, request: HttpRequest) -> int:
    if _speaks_lnurl(request):
        return 200  # LUD-02: the HTTP status means nothing
    if problem.http_status < 500 or problem.http_status == 503:
        return 200 if _is_legacy(request) else problem.http_status
    return problem.http_status


def _headers(problem: Problem) -> dict[str, str]:
    if problem.retry_after_seconds is None:
        return {}
    return {"Retry-After": str(problem.retry_after_seconds)}


def _speaks_lnurl(request: HttpRequest) -> bool:
    return request.path_info in {lnurl.PATH, *(f"/{mount}{lnurl.PATH}" for mount in LEGACY_MOUNTS)}


def _is_legacy(request: HttpRequest) -> bool:
    if not settings.V1_LEGACY_ERRORS:
        return False
    return any(f"{request.path_info}/".startswith(f"/{mount}/") for mount in LEGACY_MOUNTS)
