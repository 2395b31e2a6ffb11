"""What a wallet is told of its own node before it pays, by LSPS1, whichever transport carries it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lsps.bolt8 import answering
from lsps.bolt8.codec import Call
from orders.models import ChannelOrder, NodeSnapshot, Service
from tests.factories import OrderFactory, pubkey
from tests.fakes import FakeNode
from tests.integration.lsps1 import ORDER, REJECTED, Wallet
from tests.integration.test_preflight import WUMBO, refused, there

BUYER = pubkey(7)
#: What a door answers to a method with these parameters: a result, or an error.
Door = Callable[..., dict[str, Any]]


def by_rest(method: str, **params: Any) -> dict[str, Any]:
    wallet = Wallet()
    answer: Any = wallet.get(f"/{method}", params) if method == "get_order" else wallet.post(f"/{method}", params)
    return dict(answer.said)


def by_lightning(method: str, **params: Any) -> dict[str, Any]:
    request = {"jsonrpc": "2.0", "id": "a-1", "method": f"lsps1.{method}", "params": params}
    said = answering.begun(BUYER, json.dumps(request).encode())
    answer = json.loads(answering.answer(BUYER, said) if isinstance(said, Call) else said or b"")
    return dict(answer.get("result", answer))


@pytest.fixture(params=[by_rest, by_lightning], ids=["REST", "Lightning"])
def door(request: pytest.FixtureRequest, db: None, node: FakeNode, snapshot: NodeSnapshot) -> Door:
    asking: Door = request.param
    return asking


def order(door: Door, **changes: Any) -> dict[str, Any]:
    return door("create_order", **{**ORDER, "public_key": BUYER, **changes})


def told(warning: dict[str, Any]) -> tuple[Any, ...]:
    return warning["code"], warning["property"], warning["works"], warning["is_sure"]


def test_of_a_node_that_would_take_it_nothing_is_said(door: Door, node: FakeNode) -> None:
    there(node)
    assert order(door)["warnings"] == []


def test_who_is_not_connected_is_told_when_he_orders_and_whenever_he_asks(door: Door) -> None:
    made = order(door)
    [warning] = made["warnings"]
    assert told(warning) == ("PEER_NOT_REACHABLE", "public_key", None, False)
    assert "key@host:port" in warning["message"]
    assert door("get_order", order_id=made["order_id"]) == made


def test_the_size_that_would_work_is_one_that_can_be_sent(door: Door, node: FakeNode) -> None:
    Service.objects.update(max_channel_sat=2 * WUMBO)
    node.spendable_sat = 10**9
    there(node)
    [warning] = order(door, lsp_balance_sat=str(WUMBO), client_balance_sat="1000000")["warnings"]
    assert told(warning) == ("CHAN_SIZE_TOO_BIG", "lsp_balance_sat", str(16_777_215 - 1_000_000), True)
    changed = {"lsp_balance_sat": warning["works"], "client_balance_sat": "1000000"}
    assert order(door, **changed)["warnings"] == []


def test_a_public_channel_that_was_refused_is_not_public_in_what_would_work(door: Door, node: FakeNode) -> None:
    refused(7, "CHANNEL_REJECTED", announced=True)
    there(node)
    [warning] = order(door, announce_channel=True)["warnings"]
    assert told(warning) == ("ANNOUNCEMENT_REJECTED", "announce_channel", False, True)
    assert order(door, announce_channel=warning["works"])["warnings"] == []


def test_what_lies_within_the_reserve_is_told_with_an_amount(door: Door, node: FakeNode) -> None:
    there(node)
    [warning] = order(door, client_balance_sat="600")["warnings"]
    assert told(warning)[:2] == ("WITHIN_RESERVE", "client_balance_sat")
    assert order(door, client_balance_sat=warning["works"])["warnings"] == []


def test_a_channel_before_its_block_that_the_node_does_not_know_is_told_with_a_number(
    door: Door, node: FakeNode, snapshot: NodeSnapshot
) -> None:
    NodeSnapshot.objects.update(takes_zero_conf=True)
    there(node)
    [warning] = order(door, required_channel_confirmations=0)["warnings"]
    assert told(warning) == ("FEATURE_MISSING", "required_channel_confirmations", 1, False)


def test_where_the_service_refuses_what_would_fail_the_parameter_is_named_and_nothing_made(
    door: Door, node: FakeNode
) -> None:
    Service.objects.update(preflight="refuse", max_channel_sat=2 * WUMBO)
    node.spendable_sat = 10**9
    there(node)
    error = order(door, lsp_balance_sat=str(WUMBO))["error"]
    assert (error["code"], error["data"]["property"]) == (REJECTED, "lsp_balance_sat")
    assert "16777215" in error["data"]["message"]
    assert not ChannelOrder.objects.exists() and not node.invoices


def test_the_order_of_another_door_tells_what_its_buyer_was_told(door: Door) -> None:
    finding = {"code": "PEER_POLICY", "message": "It takes none.", "field": "node", "works": None, "is_sure": True}
    made = OrderFactory(uri_set=True, node_pubkey=BUYER, attempts=False, warnings=[finding])
    [warning] = door("get_order", order_id=str(made.pk))["warnings"]
    assert told(warning) == ("PEER_POLICY", "public_key", None, True)
