"""POST /channel/manual_finalise."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from orders import keys
from tests.factories import OpeningFactory, OrderFactory, pubkey
from tests.integration.conftest import Api


def finalise(api: Api, order: Any, node_uri: str, **more: Any) -> Any:
    body = {"order_id": str(order.pk), "node_uri": node_uri, **more}
    return api.post("/channel/manual_finalise", body)


@pytest.mark.parametrize("uri", ["{key}", "{key}@203.0.113.9", "{key}@node.example:9736", "{key}@[2001:db8::9]:9735"])
def test_a_paid_order_is_claimed_for_the_node(api: Api, uri: str) -> None:
    order = OrderFactory(paid_lightning=True)
    answer = finalise(api, order, uri.format(key=pubkey(5)))
    assert answer.status_code == 200
    assert answer.said == {"order_id": str(order.pk), "node_uri": pubkey(5)}
    order.refresh_from_db()
    assert (order.state, order.node_pubkey) == ("uri_set", pubkey(5))


def test_the_key_may_be_in_upper_case(api: Api) -> None:
    order = OrderFactory(paid_lightning=True)
    assert finalise(api, order, pubkey(5).upper()).said["node_uri"] == pubkey(5)


def test_the_alias_of_the_first_servers_documents_is_read(api: Api) -> None:
    order = OrderFactory(paid_lightning=True)
    answer = api.post("/channel/manual_finalise", {"order_id": str(order.pk), "node_id": pubkey(5), "product_id": "x"})
    assert answer.said["node_uri"] == pubkey(5)


@pytest.mark.parametrize(
    ("private", "announced"),
    [(True, False), (False, True), ("1", False), ("0", True), (1, False), (0, True), ("true", False), (None, None)],
)
def test_private_is_read_as_json_and_as_text(api: Api, private: Any, announced: bool | None) -> None:
    order = OrderFactory(paid_lightning=True)
    assert finalise(api, order, pubkey(5), private=private).status_code == 200
    order.refresh_from_db()
    assert order.announced_by_claim is announced


def test_with_the_token_another_node_takes_the_place_until_an_attempt_has_begun(api: Api) -> None:
    order = OrderFactory(uri_set=True)
    token = keys.order_token(order.pk)
    assert finalise(api, order, pubkey(5), order_token=token).said["node_uri"] == pubkey(5)
    order.refresh_from_db()
    OpeningFactory(order=order, negotiating=True)
    answer = finalise(api, order, pubkey(6), order_token=token)
    assert (answer.status_code, answer.said["code"]) == (409, "not_claimable")
    order.refresh_from_db()
    assert order.node_pubkey == pubkey(5)


@pytest.mark.parametrize("trait", ["expired", "opening", "open", "closing", "closed", "refunded", "rejected"])
def test_an_order_that_is_over_or_delivered_is_not_claimed(api: Api, trait: str) -> None:
    order = OrderFactory(**{trait: True})
    answer = finalise(api, order, pubkey(5))
    assert (answer.status_code, answer.said["code"]) == (409, "not_claimable")


def test_an_unpaid_order_is_not_claimed(api: Api) -> None:
    answer = finalise(api, OrderFactory(), pubkey(5))
    assert answer.status_code == 409
    assert "not paid" in answer.said["error"]


def test_an_unknown_order_is_not_found(api: Api) -> None:
    answer = api.post("/channel/manual_finalise", {"order_id": str(uuid4()), "node_uri": pubkey(5)})
    assert (answer.status_code, answer.said["field"]) == (404, "order_id")


@pytest.mark.parametrize(
    "uri",
    ["", "02", "04" + "ab" * 32, "02" + "ff" * 32, "02" + "zz" * 32, "{key}@", "{key}@host:0", "{key}@host:99999",
     "{key}@ho st:9735", "{key}@2001:db8::1:9735", "{key}@h/../x:1", "{key}@\x00:1", "{key}@host:" + "9" * 200,
     "{key}@" + "a" * 300, 5, True, ["x"], {"a": 1}, "\ud800"],
)  # fmt: skip
def test_a_node_that_cannot_be_read_is_refused_and_named(api: Api, uri: Any) -> None:
    order = OrderFactory(paid_lightning=True)
    said = uri.format(key=pubkey(5)) if isinstance(uri, str) and "{" in uri else uri
    answer = finalise(api, order, said)
    assert (answer.status_code, answer.said["field"]) == (400, "node_uri")
    order.refresh_from_db()
    assert order.state == "paid"
