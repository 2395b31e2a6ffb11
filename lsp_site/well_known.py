"""`/.well-known/lsp.json`: what a wallet compares LSPs by, made once a minute in each process."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Final

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from orders import storefront
from orders.api import errors, problems
from orders.api.problems import Problem
from orders.errors import DATABASE_TROUBLE, OrderError

log = logging.getLogger(__name__)

KEPT_SECONDS: Final = 60
_WAIT_SECONDS: Final = 2
_RETRY_SECONDS: Final = 10
_AWAY: Final = Problem(503, "not_available", "The service is not available now.", None, _RETRY_SECONDS)


class _Kept:
    """The document of this process, and who makes it."""

    def __init__(self) -> None:
        self.making = threading.Lock()
        self.until = 0.0
        self.text = b""


_kept = _Kept()


@require_safe
def offer(request: HttpRequest) -> HttpResponse:
    """The document, a minute old at most. Who comes while it is made anew has the old one, and waits for the first."""
    try:
        text = _text()
    except OrderError as error:
        return errors.answer(problems.of(error), request)
    except DATABASE_TROUBLE:
        log.exception("the database did not answer who compares LSPs")
        connection.close()
        text = b""
    if not text:
        return errors.answer(_AWAY, request)
    headers = {"Cache-Control": f"public, max-age={KEPT_SECONDS}"}
    return HttpResponse(text, content_type="application/json", headers=headers)


def _text() -> bytes:
    """Empty where the first one takes long. Raises: OrderError, and what the database does."""
    if time.monotonic() < _kept.until:
        return _kept.text
    if not _kept.making.acquire(timeout=0 if _kept.text else _WAIT_SECONDS):
        return _kept.text
    try:
        if time.monotonic() >= _kept.until:
            _kept.text = json.dumps(storefront.document(timezone.now()), indent=1).encode()
            _kept.until = time.monotonic() + KEPT_SECONDS
        return _kept.text
    finally:
        _kept.making.release()


def forget() -> None:
    """The next request makes it anew."""
    _kept.until, _kept.text = 0.0, b""
