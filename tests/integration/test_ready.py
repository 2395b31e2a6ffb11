"""/readyz: the doctor's checks that ask no node, for machines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError
from django.test import Client

from orders.models import NodeSnapshot
from tests.factories import OrderFactory
from tests.integration.test_doctor import WellNode, well
from watch.doctor import examination

__all__ = ["well"]

pytestmark = pytest.mark.django_db


def test_ready_asks_no_node_and_tells_names_and_states_only(well: WellNode, client: Client) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["ok"], well.calls) == (200, True, [])
    checks = answer.json()["checks"]
    assert {"database", "migrations", "worker", "streams", "queue", "disk", "node_seen"} <= checks.keys()
    assert set(checks.values()) == {"ok"}


def test_ready_tells_of_the_rows_that_the_page_says(well: WellNode, client: Client) -> None:
    page = (Path(settings.BASE_DIR) / "docs" / "operating.md").read_text()
    [rows] = re.findall(r"^(\| `database`, .*?`public_url` \|)", page, re.MULTILINE | re.DOTALL)
    named = {name for row in rows.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert client.get("/readyz").json()["checks"].keys() - {"forwarding"} == named


def test_ready_is_red_when_a_check_fails(well: WellNode, client: Client) -> None:
    NodeSnapshot.objects.update(synced_to_chain=False)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["node_seen"]) == (503, "failure")


def test_ready_stays_green_with_warnings(well: WellNode, client: Client) -> None:
    OrderFactory(open=True, flagged=True)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["flagged_orders"]) == (200, "warning")


def test_ready_is_red_without_the_database(well: WellNode, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Any:
        raise DatabaseError

    monkeypatch.setattr(examination, "_database", gone)
    monkeypatch.setattr(examination.connection, "close", lambda: None)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["database"]) == (503, "failure")


def test_ready_takes_few_statements(well: WellNode, client: Client, django_assert_max_num_queries: Any) -> None:
    client.get("/readyz")
    with django_assert_max_num_queries(15):
        client.get("/readyz")
