"""While the node or the database is away, every endpoint says so in the manner of its mount; none breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper
from django.test import Client

from lightning.errors import NodeUnavailable
from orders.models import ChannelOrder
from tests.factories import OrderFactory, SnapshotFactory, pubkey
from tests.fakes import FakeNode
from tests.integration.conftest import BODY, KEY, Api

MOUNTS = ["", "/v1", "/api/v1"]
ID = "70b58c2e-3e04-41f6-b418-799743f09ce7"
#: Every endpoint, by each method that it has.
ASKED: list[Callable[[Api], Any]] = [
    lambda api: api.get("/node/info"),
    lambda api: api.buy(),
    lambda api: api.buy({"Idempotency-Key": KEY}),
    lambda api: api.post("/channel/manual_finalise", {"order_id": ID, "node_uri": pubkey(5)}),
    lambda api: api.get("/channel/order", {"order_id": ID}),
    lambda api: api.post("/channel/order", {"order_id": ID}),
]
LNURL: list[Callable[[Api], Any]] = [
    lambda api: api.get("/lnurl/channel", {"order_id": ID}),
    lambda api: api.get("/lnurl/channel", {"k1": ID, "remoteid": pubkey(5)}),
    lambda api: api.post("/lnurl/channel", {"k1": ID, "remoteid": pubkey(5)}),
]


@pytest.fixture
def api_at(transactional_db: None, node: FakeNode) -> Callable[[str], Api]:
    """A shop whose database may go away: nothing of the test holds a transaction."""
    SnapshotFactory()
    OrderFactory(id=UUID(ID), paid_lightning=True)
    return Api


@pytest.fixture
def no_database(api_at: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refused(*args: Any) -> None:
        raise psycopg.OperationalError("connection refused")

    connection.close()
    with monkeypatch.context() as patch:
        patch.setattr(DatabaseWrapper, "get_new_connection", refused)
        yield


@pytest.fixture
def read_only_database(api_at: object) -> Iterator[None]:
    """What a standby is that has not been promoted yet."""
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    yield
    connection.close()


def refused(answer: Any, mount: str) -> bool:
    proper = (answer.status_code, answer.said["code"]) == (200 if mount else 503, "not_available")
    return proper and answer.said["error"].endswith(".") and int(answer["Retry-After"]) > 0


def refused_as_lnurl(answer: Any) -> bool:
    said = answer.said
    return answer.status_code == 200 and set(said) == {"status", "reason"} and said["status"] == "ERROR"


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("ask", ASKED)
def test_without_the_database_every_endpoint_says_come_back_later(
    api_at: Callable[[str], Api], no_database: None, mount: str, ask: Callable[[Api], Any]
) -> None:
    assert refused(ask(api_at(mount)), mount)


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("ask", LNURL)
def test_without_the_database_a_wallet_is_told_why(
    api_at: Callable[[str], Api], no_database: None, mount: str, ask: Callable[[Api], Any]
) -> None:
    answer = ask(api_at(mount))
    assert refused_as_lnurl(answer) and int(answer["Retry-After"]) > 0


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("ask", ASKED)
def test_a_database_that_cannot_be_written_is_an_outage_and_no_defect(
    api_at: Callable[[str], Api], read_only_database: None, mount: str, ask: Callable[[Api], Any]
) -> None:
    assert refused(ask(api_at(mount)), mount)


@pytest.mark.parametrize("ask", LNURL)
def test_a_database_that_cannot_be_written_is_an_outage_for_wallets_too(
    api_at: Callable[[str], Api], read_only_database: None, ask: Callable[[Api], Any]
) -> None:
    assert refused_as_lnurl(ask(api_at("")))


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_without_the_database_machines_hear_503_in_json(no_database: None, path: str) -> None:
    answer = Client().get(path)
    assert (answer.status_code, answer.json()["ok"]) == (503, False)


@pytest.mark.parametrize("mount", MOUNTS)
def test_without_the_node_all_that_is_known_is_still_told_and_only_buying_waits(
    api_at: Callable[[str], Api], node: FakeNode, mount: str
) -> None:
    node.fails = NodeUnavailable()
    api = api_at(mount)
    assert api.get("/node/info").said["node_info"]["alias"] == "our node"
    assert api.get("/channel/order", {"order_id": ID}).said["state"] == 100
    assert api.get("/lnurl/channel", {"order_id": ID}).said["tag"] == "channelRequest"
    assert refused(api.post("/channel/buy", BODY), mount)
    assert api.post("/channel/manual_finalise", {"order_id": ID, "node_uri": pubkey(5)}).status_code == 200
    order = ChannelOrder.objects.get(pk=ID)
    assert (order.state, order.node_pubkey) == ("uri_set", pubkey(5))
