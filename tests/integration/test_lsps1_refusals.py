"""How LSPS1 over REST refuses: never with status 200, in one body for all clients, and in a browser too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import RequestFactory

from lsp_site import error_pages
from orders.models import NodeSnapshot
from tests.fakes import FakeNode
from tests.integration.lsps1 import INVALID, NOT_FOUND, ROOTS, Wallet, refused


@pytest.fixture
def wallet(db: None, node: FakeNode, snapshot: NodeSnapshot) -> Wallet:
    return Wallet()


@pytest.mark.parametrize(
    ("ask", "status", "code"),
    [
        (lambda w: w.send("/create_order", b"{"), 400, -32700),
        (lambda w: w.send("/create_order", b"{} {}"), 400, -32700),
        (lambda w: w.send("/create_order", b'{"token": "a", "token": "b"}'), 400, -32700),
        (lambda w: w.send("/create_order", b"x" * 66_000), 413, -32600),
        (lambda w: w.send("/create_order", b"a=1", content_type="text/plain"), 415, -32600),
        (lambda w: w.get("/create_order"), 405, -32601),
        (lambda w: w.post("/get_info", {}), 405, -32601),
        (lambda w: w.post("/get_order", {}), 405, -32601),
        (lambda w: w.get("/get_order"), 400, INVALID),
        (lambda w: w.get_order("x"), 404, NOT_FOUND),
    ],
)
@pytest.mark.parametrize("root", ROOTS)
def test_never_with_status_200_which_would_pass_for_an_order(
    wallet: Wallet, ask: Any, status: int, code: int, root: str
) -> None:
    answer = ask(Wallet(root))
    assert (answer.status_code, refused(answer)[0]) == (status, code)


NOWHERE = [f"{root}{call}/" for root in ROOTS for call in ("/get_info", "/create_order", "/get_order")]
NOWHERE += [ROOTS[1] + path for path in ("", "/", "/get_infos", "/create_order/x", "/nothing%0A")]


@pytest.mark.parametrize("path", NOWHERE)
@pytest.mark.parametrize("legacy", [True, False])
def test_what_is_nowhere_at_its_paths_is_told_in_these_words_too(
    wallet: Wallet, path: str, legacy: bool, settings: Any
) -> None:
    settings.V1_LEGACY_ERRORS = legacy
    for answer in (Wallet("").get(path), Wallet("").post(path, {})):
        assert (answer.status_code, refused(answer)[0]) == (404, -32601)


@pytest.mark.parametrize("refuse", [error_pages.forbidden, error_pages.forged])
def test_what_is_refused_before_any_view_is_told_in_these_words(refuse: Any) -> None:
    answer = refuse(RequestFactory().post("/api/v1/create_order"))
    assert answer.status_code == 403 and json.loads(answer.content)["error"]["code"] == 1


@pytest.mark.parametrize("path", ["/get_infos", "/create_order/x", "/order", "/get_info//"])
def test_unknown_paths_stay_as_the_first_server_has_them(wallet: Wallet, path: str) -> None:
    answer = wallet.get(path)
    assert (answer.status_code, answer.said["code"]) == (200, "not_found")


def test_l0_12_a_defect_of_ours_is_told_in_these_words_without_its_own(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("lsps.rest.views.buying.options", broken)
    wallet.client.raise_request_exception = False
    answer = wallet.get_info()
    assert (answer.status_code, refused(answer)[0]) == (500, -32603)
    assert "secret" not in answer.content.decode()


def test_an_unknown_host_is_refused_in_these_words(wallet: Wallet) -> None:
    assert refused(wallet.get("/get_info", None, Host="evil.example"))[0] == -32700


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("path", ["/get_info", "/create_order", "/get_order"])
def test_browsers_may_ask_and_read_the_refusal(wallet: Wallet, root: str, path: str) -> None:
    answer = wallet.client.options(
        root + path,
        headers={
            "Origin": "https://btcpay.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,idempotency-key",
        },
    )
    assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (200, "*")
    assert "content-type" in answer["Access-Control-Allow-Headers"]
    refusal = Wallet(root).post("/create_order", {}, Origin="https://btcpay.example")
    assert (refusal.status_code, refusal["Access-Control-Allow-Origin"]) == (400, "*")
