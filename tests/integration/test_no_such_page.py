"""An address where nothing is: staff get a page in the admin's frame, strangers the login, clients the API's answer."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.integration.staff import browser, staff

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
