"""The site's own addresses."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from django.contrib import admin
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from orders.models import Heartbeat

pytestmark = pytest.mark.django_db


def test_health_lists_who_reports(client: Client) -> None:
    Heartbeat.objects.create(name="reconcile", at=timezone.now())
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["ok"], answer.json()["heartbeats"]["reconcile"]["stale"]) == (
        200,
        True,
        False,
    )


def test_health_is_red_when_a_process_is_silent(client: Client) -> None:
    Heartbeat.objects.create(name="reconcile", at=timezone.now() - timedelta(hours=1))
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["ok"], answer.json()["database"]) == (503, False, True)


def test_health_is_red_without_the_database(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(now: datetime) -> None:
        raise DatabaseError

    monkeypatch.setattr("lsp_site.views.figures.heartbeats", gone)
    monkeypatch.setattr("lsp_site.views.connection.close", lambda: None)
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["database"]) == (503, False)


def test_the_start_page_leads_to_the_documentation(client: Client) -> None:
    answer = client.get("/", follow=True)
    assert (answer.status_code, answer.redirect_chain[-1][0]) == (200, "/docs")


def test_the_documentation_loads_nothing_from_elsewhere(client: Client) -> None:
    page = client.get("/docs").content.decode()
    assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', page) == []


def test_the_description_has_the_unversioned_paths_only(client: Client) -> None:
    written = client.get("/openapi.yaml").content.decode()
    assert "openapi: 3.1.0" in written
    versioned = re.findall(r"^  (/\S*v1/\S*):$", written, re.MULTILINE)
    assert "/channel/buy:" in written
    assert versioned == [f"/api/v1/{call}" for call in ("create_order", "get_info", "get_order")]  # LSPS1 has no other


@pytest.mark.parametrize("root", ["", "/v1", "/api/v1"])
def test_the_api_stands_at_all_three_roots(client: Client, root: str) -> None:
    assert client.get(f"{root}/channel/buy").headers["Allow"] == "POST, OPTIONS"


def test_a_browser_of_another_origin_may_ask_but_brings_no_cookie(client: Client) -> None:
    answer = client.options(
        "/channel/buy",
        headers={
            "Origin": "https://wallet.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type, idempotency-key",
        },
    )
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert {"content-type", "idempotency-key"} <= set(answer.headers["Access-Control-Allow-Headers"].split(", "))
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_the_admin_is_closed_to_other_origins(client: Client) -> None:
    answer = client.get("/admin/login/", headers={"Origin": "https://wallet.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_staff_cannot_run_a_task_again_from_the_admin() -> None:
    assert [model for model in admin.site._registry if model._meta.app_label == "django_q"] == []


def test_the_icon_that_browsers_ask_for_is_there(client: Client) -> None:
    answer = client.get("/favicon.ico", follow=True)
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
