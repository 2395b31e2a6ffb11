"""A shop with a node that is an object, and a client that sends JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from orders.models import NodeSnapshot
from tests.crediting import trusting_world
from tests.factories import SnapshotFactory
from tests.fakes import FakeNode
from tests.foreseen import World

#: An address that means one client.
ADDRESS = "203.0.113.7"
#: An `Idempotency-Key`; and what the test client sends where a test says nothing else.
KEY = "f2a1c6d0-of-no-other-buyer"
BODY: dict[str, Any] = {"local_balance": 1_000_000, "remote_balance": 50_000, "channel_expiry": 6}


class Api:
    """The API as a client sees it, at one of its mounts."""

    def __init__(self, mount: str = "") -> None:
        self.mount = mount
        self.client = Client(REMOTE_ADDR=ADDRESS)

    def get(self, path: str, query: dict[str, Any] | None = None, **headers: str) -> HttpResponse:
        return self._answer(self.client.get(self.mount + path, query or {}, headers=headers))

    def post(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.send(path, json.dumps(body).encode(), **headers)

    def send(self, path: str, raw: bytes, content_type: str = "application/json", **headers: str) -> HttpResponse:
        answer = self.client.generic("POST", self.mount + path, raw, content_type=content_type, headers=headers)
        return self._answer(answer)

    def buy(self, headers: dict[str, str] | None = None, **changes: Any) -> HttpResponse:
        body = {**BODY, **changes}
        return self.post("/channel/buy", {k: v for k, v in body.items() if v is not ...}, **headers or {})

    @staticmethod
    def _answer(answer: Any) -> HttpResponse:
        assert answer["Content-Type"] == "application/json"
        answer.said = answer.json()
        return answer  # type: ignore[no-any-return]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    """The node that the process talks to."""
    fake = FakeNode()
    monkeypatch.setattr("lightning.connection.node", lambda: fake)
    return fake


@pytest.fixture
def snapshot(db: None) -> NodeSnapshot:
    """The node was seen just now."""
    return SnapshotFactory()


@pytest.fixture
def api(db: None, node: FakeNode, snapshot: NodeSnapshot) -> Api:
    """The specification's own paths."""
    return Api()


@pytest.fixture
def api_at(db: None, node: FakeNode, snapshot: NodeSnapshot) -> Callable[[str], Api]:
    """The paths of a mount."""
    return Api


@pytest.fixture
def boss(db: None) -> Client:
    """A browser in which the superuser alice is logged in."""
    client = Client()
    client.force_login(User.objects.create_superuser("alice"))
    return client


@pytest.fixture
def world(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Our node, and a Bitcoin node beside it, where small orders are paid by deposits in no block."""
    yield from trusting_world(settings, monkeypatch)
