"""How a wallet is told that we refuse: never with status 200, which would pass for an order.

Three readers, one body: `error` is an object with code, title and data; `message` beside it is the sentence, for those
who show that and nothing else.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

from lsps import refusing
from lsps.refusing import Refusal
from orders import errors
from orders.api import errors as api
from orders.api.problems import Problem, Unreadable

log = logging.getLogger(__name__)

#: Where wallets look for LSPS1.
MOUNTS: Final = ("api/v1", "api/lsps1/v1")
#: At the first server's root the calls alone, however a wallet ends them; the other root is nobody else's.
_PATHS: Final = re.compile(r"/api/v1/(get_info|create_order|get_order)/?|/api/lsps1/v1(/.*)?", re.DOTALL)

_STATUSES: Final[Mapping[int, int]] = {
    refusing.CLIENT_REJECTED: 403,
    refusing.NOT_FOUND: 404,
    refusing.OPTION_MISMATCH: 422,
    refusing.TOKEN_UNKNOWN: 422,
    refusing.INTERNAL: 500,
    refusing.NOT_AVAILABLE: 503,
}
#: Of what the domain refuses, where the code says less than HTTP can.
_KINDS: Final[Mapping[type[errors.OrderError], int]] = {
    errors.KeyReused: 422,
    errors.KeyInFlight: 409,
    errors.NodeFull: 409,
    errors.TooManyOrders: 429,
}
#: Of what was refused before anybody has read the parameters, by HTTP's status.
_CODES: Final[Mapping[int, int]] = {
    400: refusing.NOT_JSON,
    403: refusing.CLIENT_REJECTED,
    404: refusing.NO_METHOD,
    405: refusing.NO_METHOD,
    413: refusing.NO_REQUEST,
    415: refusing.NO_REQUEST,
    429: refusing.CLIENT_REJECTED,
    500: refusing.INTERNAL,
    503: refusing.NOT_AVAILABLE,
}


def handle(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """The answer to a request that raised `error`; None: a defect of ours, for Django to log and answer."""
    found = _refused(error)
    if found is None:
        return None
    refusal, status = found
    response = Response(_body(refusal), status=status)
    if refusal.again_in_seconds is not None:
        response["Retry-After"] = str(refusal.again_in_seconds)
    if isinstance(error, exceptions.MethodNotAllowed):
        response["Allow"] = ", ".join(context["view"].allowed_methods)
    return response


def answer(problem: Problem, request: HttpRequest) -> HttpResponse:
    """Where no view was reached: at LSPS1's paths in these words, elsewhere in the channel-request API's."""
    return _answer(problem) if _is_ours(request) else api.answer(problem, request)


def server_error(request: HttpRequest) -> HttpResponse:
    """Of a defect, outside of the admin. The exception is in the log."""
    return _answer(api.INTERNAL) if _is_ours(request) else api.server_error(request)


def _is_ours(request: HttpRequest) -> bool:
    return _PATHS.fullmatch(request.path_info) is not None


def _refused(error: Exception) -> tuple[Refusal, int] | None:
    match error:
        case Refusal():
            return error, _STATUSES.get(error.code, 400)
        case errors.OrderError():
            refusal = refusing.of(error)
            by_kind = next((_KINDS[kind] for kind in type(error).__mro__ if kind in _KINDS), None)
            return refusal, by_kind or _STATUSES.get(refusal.code, 400)
        case Unreadable():
            named = error.problem.field or ""
            return Refusal(refusing.INVALID_PARAMS, error.problem.message, named), 400
    problem = api.problem_of(error)
    return None if problem is None else (_of_problem(problem), problem.http_status)


def _of_problem(problem: Problem) -> Refusal:
    code = _CODES.get(problem.http_status, refusing.NO_REQUEST)
    return Refusal(code, problem.message, again_in_seconds=problem.retry_after_seconds)


def _answer(problem: Problem) -> HttpResponse:
    return JsonResponse(_body(_of_problem(problem)), status=problem.http_status)


def _body(refusal: Refusal) -> dict[str, Any]:
    return {"error": refusal.error, "message": refusal.sentence}
