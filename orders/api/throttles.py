"""How often one client address may ask."""

from __future__ import annotations

from typing import ClassVar, Final

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from orders import limits
from orders.api.clients import client_address, tells_apart

#: Who cannot be told apart is counted as so many.
_TOGETHER: Final = 20


class ClientThrottle(BaseThrottle):
    """So many requests of a kind in a window; the subclass names the setting."""

    setting: ClassVar[str]
    _wait_seconds: int | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        """The request is counted; False when it is one too many."""
        self._wait_seconds = self.wait_seconds(request._request)
        return self._wait_seconds is None

    @classmethod
    def wait_seconds(cls, request: HttpRequest) -> int | None:
        """The request is counted. None: it is none too many; else how long to wait."""
        client = client_address(request)
        clients = 1 if tells_apart(client) else _TOGETHER
        return limits.wait_seconds(f"{cls.setting}:{client}", getattr(settings, cls.setting), times=clients)

    def wait(self) -> float | None:
        """Seconds until the window ends."""
        return self._wait_seconds


class BuyThrottle(ClientThrottle):
    """Orders."""

    setting = "BUY_RATE"


class ReadThrottle(ClientThrottle):
    """Reads."""

    setting = "READ_RATE"


class ClaimThrottle(ClientThrottle):
    """Claims, by either way."""

    setting = "CLAIM_RATE"
