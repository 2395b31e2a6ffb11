"""Hundreds of requests that the OpenAPI file allows, or nearly: no 5xx, and no answer that it does not describe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, settings

from tests.factories import OrderFactory, SnapshotFactory
from tests.fakes import FakeNode
from tests.integration.described import CHECKS, description

CASES = 40

api = schemathesis.openapi.from_dict(description())
api.app = get_wsgi_application()


@pytest.fixture(autouse=True)
def shop(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A shop with one order in each of two states, and limits that a fuzzer does not reach."""
    fake = FakeNode()
    monkeypatch.setattr("lightning.connection.node", lambda: fake)
    from django.conf import settings as configured

    for name in ("BUY_RATE", "READ_RATE", "CLAIM_RATE"):
        monkeypatch.setattr(configured, name, "1000000/min")
    monkeypatch.setattr(configured, "ALLOWED_HOSTS", ["*"])
    SnapshotFactory()
    OrderFactory(paid_lightning=True)
    OrderFactory(open=True)
    for signal in (request_started, request_finished):  # else the test loses its connection
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@api.parametrize()
@settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_described_and_none_is_a_defect(case: Any) -> None:
    case.call_and_validate(checks=CHECKS)
