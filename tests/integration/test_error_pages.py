"""Where no view can answer: staff get a page in the admin's frame, strangers the login, clients the API's answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client, RequestFactory

from lsp_site import error_pages
from tests.integration.staff import STEER, browser, staff

pytestmark = pytest.mark.django_db

NOWHERE = ("/admin/nowhere/", "/admin/nowhere", "/admin/orders/nothing/", "/admin/a%0Ab")


@pytest.mark.parametrize("path", NOWHERE)
def test_staff_who_mistype_an_address_are_still_in_the_admin(path: str) -> None:
    answer = browser(staff("vera", "view_channelorder")).get(path)
    page = answer.content.decode()
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert 'id="logout-form"' in page and "There is no such page" in page and '"/admin/orders/channelorder/"' in page
    assert "default-src 'none'" in answer["Content-Security-Policy"]


def test_who_may_not_see_orders_is_not_sent_to_them() -> None:
    assert "/admin/orders/channelorder/" not in browser(staff("otto")).get("/admin/nowhere/").content.decode()


@pytest.mark.parametrize("path", NOWHERE)
def test_a_stranger_is_asked_to_log_in_and_learns_of_no_page(path: str) -> None:
    answer = Client().get(path)
    assert answer.status_code == 302 and answer["Location"].startswith("/admin/login/?next=/admin/")


def test_a_row_that_has_no_history_is_answered_as_a_page_too() -> None:
    answer = browser(staff("vera", "view_flag")).get("/admin/orders/flag/1/history/")
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.parametrize("path", ["/nowhere", "/v1/nowhere", "/api/v1/nowhere", "/administrator", "/adminx/"])
@pytest.mark.parametrize("logged_in", [False, True])
def test_everywhere_else_the_answer_is_the_apis_whoever_asks(path: str, logged_in: bool) -> None:
    answer = (browser(staff("vera")) if logged_in else Client()).get(path)
    assert answer["Content-Type"] == "application/json" and answer.json()["code"] == "not_found"


def refused(path: str, client: Client, **sent: str) -> str:
    answer = client.post(path, sent)
    page = answer.content.decode()
    assert (answer.status_code, answer["Content-Type"]) == (403, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer["Content-Security-Policy"] and "<style" not in page
    return page


def test_what_staff_may_not_do_is_said_in_the_admins_frame() -> None:
    page = refused("/admin/orders/service/add/", browser(staff("vera", "view_channelorder")))
    assert "This is not yours to see or do" in page and 'id="logout-form"' in page
    assert '"/admin/orders/channelorder/"' in page


@pytest.mark.parametrize("path", ["/admin/login/", "/admin/orders/channelorder/steer/"])
def test_a_form_without_its_token_is_told_what_to_do(path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(staff("otto", "change_channelorder"))
    page = refused(path, client, username="otto", password="x")
    assert "Nothing was done" in page and "load the page again" in page


def test_a_form_without_its_token_elsewhere_gets_the_apis_answer() -> None:
    answer = Client(enforce_csrf_checks=True).post("/healthz")
    assert answer.status_code == 403 and answer.json()["code"] == "not_allowed"


def test_what_is_too_much_for_one_form_is_said_in_the_admins_frame(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 3
    answer = browser(staff("vera", "change_channelorder")).post(STEER, dict.fromkeys("abcde", "x"))
    assert answer.status_code == 400 and "This could not be read" in answer.content.decode()


class Broken(Exception):
    """What only the log may say."""


def broken(*_: Any, **__: Any) -> Any:
    raise Broken("postgresql://lsp:secret@db")


@pytest.fixture
def defect(monkeypatch: pytest.MonkeyPatch) -> Client:
    """Staff, on whose first page something breaks."""
    client = browser(staff("vera", "view_channelorder"))
    client.raise_request_exception = False
    monkeypatch.setattr("orders.dashboard.dashboard", broken)
    return client


def test_a_defect_is_said_in_the_admins_frame_and_nothing_of_it(defect: Client) -> None:
    answer = defect.get("/admin/")
    page = answer.content.decode()
    assert (answer.status_code, answer["Content-Type"]) == (500, "text/html; charset=utf-8")
    assert "Something went wrong here" in page and 'id="site-name"' in page and "orders/admin.css" in page
    assert "default-src 'none'" in answer["Content-Security-Policy"] and "<style" not in page
    assert "Broken" not in page and "secret" not in page


def test_a_page_of_a_defect_asks_no_database(defect: Client) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("the server closed the connection")

    with connection.execute_wrapper(away):
        answer = defect.get("/admin/")
    assert answer.status_code == 500 and "manage.py doctor" in answer.content.decode()


@pytest.mark.parametrize(("path", "told"), [("/channel/order", "internal"), ("/api/v1/get_info", None)])
def test_a_defect_elsewhere_is_answered_as_its_clients_read_it(path: str, told: str | None) -> None:
    request = RequestFactory().get(path)
    said = json.loads(error_pages.server_error(request).content)
    assert said["code"] == told if told else said["error"]["code"]


@pytest.mark.parametrize("path", ["/admin/", "/admin/orders/channelorder/", "/node/info"])
def test_a_host_that_is_not_ours_is_refused_before_anybody_knows_who_asks(path: str, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["lsp.example"]
    answer = Client(raise_request_exception=False).get(path, HTTP_HOST="scanner.example")
    assert answer.status_code == 400 and b"scanner" not in answer.content
