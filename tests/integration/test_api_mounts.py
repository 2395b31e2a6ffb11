"""The three mounts, their manners of refusing, and what browsers need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from lightning.errors import NodeUnavailable
from tests.factories import OrderFactory
from tests.fakes import FakeNode
from tests.integration.conftest import Api

LEGACY = ["/v1", "/api/v1"]
PATHS = [
    *("/node/info", "/channel/buy", "/channel/estimate", "/channel/manual_finalise", "/channel/order"),
    "/lnurl/channel",
]
#: (what is done, the status that it has at the root)
REFUSALS: list[tuple[Callable[[Api], Any], int, str]] = [
    (lambda api: api.buy(channel_expiry=0), 400, "invalid"),
    (lambda api: api.buy(channel_expiry=...), 400, "required"),
    (lambda api: api.send("/channel/buy", b"{"), 400, "malformed"),
    (lambda api: api.send("/channel/buy", b"[]"), 400, "malformed"),
    (lambda api: api.send("/channel/buy", b"x" * 66_000), 413, "too_large"),
    (lambda api: api.send("/channel/buy", b"a=1", content_type="application/x-www-form-urlencoded"), 415,
     "unsupported_media_type"),
    (lambda api: api.get("/channel/order", {"order_id": str(uuid4())}), 404, "order_not_found"),
    (lambda api: api.get("/channel/buy"), 405, "method_not_allowed"),
    (lambda api: api.post("/node/info"), 405, "method_not_allowed"),
    (lambda api: api.get("/nothing/here"), 404, "not_found"),
    (lambda api: api.get("/node/info/"), 404, "not_found"),
    (lambda api: api.get("/nothing\x00"), 404, "not_found"),
]  # fmt: skip
SUCCESSES: list[Callable[[Api], Any]] = [
    lambda api: api.get("/node/info"),
    lambda api: api.buy(),
    lambda api: api.get("/channel/order", {"order_id": str(OrderFactory().pk)}),
]


@pytest.mark.parametrize(("refusal", "status", "code"), REFUSALS)
def test_at_the_root_a_refusal_has_its_status_a_sentence_and_a_word(
    api: Api, refusal: Callable[[Api], Any], status: int, code: str
) -> None:
    answer = refusal(api)
    assert answer.status_code == status
    assert set(answer.said) == {"error", "code", "field"}
    assert answer.said["code"] == code
    assert answer.said["error"].endswith(".")


@pytest.mark.parametrize("mount", LEGACY)
@pytest.mark.parametrize(("refusal", "status", "code"), REFUSALS)
def test_clients_of_the_first_server_get_the_same_body_with_status_200(
    api_at: Callable[[str], Api], mount: str, refusal: Callable[[Api], Any], status: int, code: str
) -> None:
    answer = refusal(api_at(mount))
    assert answer.status_code == 200
    assert answer.said == refusal(api_at("")).said


@pytest.mark.parametrize("mount", LEGACY)
@pytest.mark.parametrize(("refusal", "status", "code"), REFUSALS)
def test_a_setting_gives_them_the_proper_status_too(
    api_at: Callable[[str], Api], mount: str, refusal: Callable[[Api], Any], status: int, code: str, settings: Any
) -> None:
    settings.V1_LEGACY_ERRORS = False
    assert refusal(api_at(mount)).status_code == status


@pytest.mark.parametrize("mount", ["", *LEGACY])
@pytest.mark.parametrize("success", SUCCESSES)
def test_success_is_exactly_200_everywhere(
    api_at: Callable[[str], Api], mount: str, success: Callable[[Api], Any]
) -> None:
    answer = success(api_at(mount))
    assert answer.status_code == 200
    assert "error" not in answer.said


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/api/v1", "/api/v1/x/y"])
def test_an_unknown_path_under_a_compatibility_mount_is_a_200_with_an_error(db: None, path: str) -> None:
    answer = Client().get(path)
    assert answer.status_code == 200
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("path", ["/v2/node/info", "/api", "/channel", "/v1x/node/info", "/lnurl/channel/"])
def test_an_unknown_path_elsewhere_is_a_404_in_json(db: None, path: str) -> None:
    answer = Client().get(path)
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/json")


@pytest.mark.parametrize("mount", LEGACY)
def test_a_throttled_client_of_the_first_server_gets_a_200_with_an_error(
    api_at: Callable[[str], Api], mount: str, settings: Any
) -> None:
    settings.READ_RATE = "1/min"
    api = api_at(mount)
    assert "error" not in api.get("/node/info").said
    answer = api.get("/node/info")
    assert answer.status_code == 200
    assert answer.said["code"] == "throttled"
    assert int(answer["Retry-After"]) > 0


@pytest.mark.parametrize("mount", LEGACY)
def test_what_is_not_available_is_a_200_with_an_error_there(
    api_at: Callable[[str], Api], mount: str, node: FakeNode
) -> None:
    node.fails = NodeUnavailable()
    answer = api_at(mount).buy()
    assert (answer.status_code, answer.said["code"]) == (200, "not_available")
    assert "Retry-After" in answer


def test_a_refused_method_says_which_are_allowed(api: Api) -> None:
    assert "POST" in api.get("/channel/buy")["Allow"]


def test_a_get_may_carry_a_json_content_type_and_no_body(api: Api) -> None:
    order = OrderFactory()
    answer = api.client.generic(
        "GET", f"/channel/order?order_id={order.pk}", b"", content_type="application/json", headers={}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "*/*;q=0", "garbage", "application/json; x=\x00"])
def test_whatever_a_client_accepts_it_gets_json(api: Api, accept: str) -> None:
    assert api.get("/node/info", None, Accept=accept).status_code == 200
    assert api.get("/node/info?format=html").status_code == 200


@pytest.mark.parametrize("charset", ["bz2_codec", "utf-16", "idna", "unicode_escape", "nonsense", "undefined"])
def test_the_charset_of_a_content_type_changes_nothing(api: Api, charset: str) -> None:
    order = OrderFactory()
    content_type = f"application/json; charset={charset}"
    got = api.client.generic("GET", f"/channel/order?order_id={order.pk}", b"", content_type=content_type)
    assert got.status_code == 200
    body = f'{{"order_id": "{order.pk}"}}'.encode()
    assert api.send("/channel/order", body, content_type=content_type).status_code == 200


class TestBrowsers:
    @pytest.mark.parametrize("mount", ["", *LEGACY])
    @pytest.mark.parametrize("path", PATHS)
    def test_they_may_preflight_every_path(self, db: None, mount: str, path: str) -> None:
        answer = Client().options(
            mount + path,
            headers={
                "Origin": "https://wallet.example",
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "content-type,idempotency-key",
            },
        )
        assert answer.status_code == 200
        assert answer["Access-Control-Allow-Origin"] == "*"
        allowed = {name.strip().lower() for name in answer["Access-Control-Allow-Headers"].split(",")}
        assert {"content-type", "idempotency-key"} <= allowed
        assert "GET" in answer["Access-Control-Allow-Methods"]

    def test_they_may_read_refusals_and_when_to_come_back(self, api: Api, settings: Any) -> None:
        settings.BUY_RATE = "1/min"
        headers = {"Origin": "https://wallet.example"}
        assert api.buy(headers)["Access-Control-Allow-Origin"] == "*"
        answer = api.buy(headers)
        assert answer.status_code == 429
        assert answer["Access-Control-Allow-Origin"] == "*"
        assert "Retry-After" in answer["Access-Control-Expose-Headers"]

    def test_no_cookie_is_set_or_wanted(self, api: Api) -> None:
        answer = api.get("/node/info", None, Origin="https://wallet.example")
        assert not answer.cookies
        assert "Access-Control-Allow-Credentials" not in answer


def test_a_defect_of_ours_is_a_500_in_json_without_its_text(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("orders.api.views.queries.snapshot", broken)
    api.client.raise_request_exception = False
    answer = api.get("/node/info")
    assert (answer.status_code, answer.said["code"]) == (500, "internal")
    assert "secret" not in answer.content.decode()


def test_an_unknown_host_is_refused_in_json(api: Api) -> None:
    answer = api.get("/node/info", None, Host="evil.example")
    assert (answer.status_code, answer.said["code"]) == (400, "malformed")


def test_the_paths_are_those_of_the_specification() -> None:
    names = ["node-info", "channel-buy", "channel-estimate", "manual-finalise", "channel-order", "lnurl-channel"]
    assert [reverse(name) for name in names] == PATHS


def test_the_node_is_only_called_to_buy(api: Api, node: FakeNode) -> None:
    order = OrderFactory(paid_lightning=True)
    api.get("/node/info")
    api.get("/channel/order", {"order_id": str(order.pk)})
    api.get("/lnurl/channel", {"order_id": str(order.pk)})
    assert node.calls == []
