"""`/metrics`: the figures for Prometheus, to who has the token."""

from __future__ import annotations

import hmac
import logging
from typing import Final

from django.conf import settings
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from orders.api import errors
from orders.api.problems import Problem
from orders.api.throttles import ReadThrottle
from orders.errors import DATABASE_TROUBLE
from watch import metrics

log = logging.getLogger(__name__)

_SCHEME: Final = "bearer"
_RETRY_SECONDS: Final = 10


@require_safe
def scrape(request: HttpRequest) -> HttpResponse:
    """All figures, a few seconds old at most. 404 without METRICS_TOKEN, 401 to who has another."""
    if not settings.METRICS_TOKEN:
        raise Http404
    try:
        wait_seconds = ReadThrottle.wait_seconds(request)  # guesses at the token are counted too
        if wait_seconds is not None:
            return errors.answer(errors.too_many(wait_seconds), request)
        if not _has_token(request):
            return _unauthorised(request)
        text = metrics.exposition()
    except DATABASE_TROUBLE:
        log.exception("the database did not answer a scrape")
        connection.close()
        text = None
    return _unavailable(request) if text is None else _answer(text)


def _answer(text: bytes) -> HttpResponse:
    return HttpResponse(text, content_type=metrics.CONTENT_TYPE, headers={"Cache-Control": "no-store"})


def _unavailable(request: HttpRequest) -> HttpResponse:
    problem = Problem(503, "not_available", "The database does not answer.", None, _RETRY_SECONDS)
    return errors.answer(problem, request)


def _has_token(request: HttpRequest) -> bool:
    """How much of it is right shows in no time that this takes."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    wanted = settings.METRICS_TOKEN.encode()
    return hmac.compare_digest(given.strip().encode(errors="surrogatepass"), wanted) and scheme.lower() == _SCHEME


def _unauthorised(request: HttpRequest) -> HttpResponse:
    problem = Problem(401, "unauthorized", "The token of METRICS_TOKEN is needed.")
    answer = errors.answer(problem, request)
    answer["WWW-Authenticate"] = 'Bearer realm="metrics"'
    return answer
