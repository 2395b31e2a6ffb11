"""What a peer is answered over Lightning, by the numbers of docs/conformance.md. Nothing is carried anywhere."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as runs
from hypothesis import strategies as st

from lightning.errors import NodeUnavailable
from lsps.bolt8 import answering, methods
from lsps.bolt8.codec import MOST_BYTES, Call
from orders.models import ChannelOrder, NodeSnapshot, Service
from orders.models.order import Door
from tests.factories import OrderFactory, pubkey
from tests.fakes import FakeNode, regtest_address

PEER, OTHER = pubkey(1), pubkey(2)
REFUND = regtest_address(77)
ORDER: dict[str, Any] = {
    "lsp_balance_sat": "1000000",
    "client_balance_sat": "50000",
    "required_channel_confirmations": 1,
    "funding_confirms_within_blocks": 6,
    "channel_expiry_blocks": 6048,
    "token": "",
    "refund_onchain_address": REFUND,
    "announce_channel": False,
}
#: As lightning-liquidity makes its ids.
LDK_ID = "9f86d081884c7d659a2feaa0c55ad015"


@pytest.fixture(autouse=True)
def _shop(db: None, node: FakeNode, snapshot: NodeSnapshot) -> None:
    """Something is on sale, and the node was seen just now."""


def ask(method: str, params: Any = None, *, peer: str = PEER, id: str = "a-1") -> dict[str, Any]:
    """What the peer is answered, by whichever lane."""
    request = {"jsonrpc": "2.0", "id": id, "method": method, "params": {} if params is None else params}
    answer = answered(json.dumps(request).encode(), peer=peer)
    assert answer["id"] == id
    return answer


def answered(payload: bytes, *, peer: str = PEER) -> dict[str, Any]:
    said = answering.begun(peer, payload)
    if isinstance(said, Call):
        said = answering.answer(peer, said)
    assert said is not None and len(said) <= MOST_BYTES
    answer: dict[str, Any] = json.loads(said)
    assert answer["jsonrpc"] == "2.0" and len(answer) == 3  # with an id, and a result or an error, never both
    return answer


def create(peer: str = PEER, id: str = "a-1", **changes: Any) -> dict[str, Any]:
    params = {name: value for name, value in {**ORDER, **changes}.items() if value is not ...}
    return ask("lsps1.create_order", params, peer=peer, id=id)


def bought(**changes: Any) -> dict[str, Any]:
    answer = create(**changes)
    assert "result" in answer, answer
    return dict(answer["result"])


def test_l0_15_the_protocols_are_those_that_we_speak() -> None:
    assert ask("lsps0.list_protocols")["result"] == {"protocols": [1]}


def test_l0_04_what_is_malformed_is_in_the_log_with_its_peer(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert answered(b"[]")["error"]["code"] == -32700
    assert any(PEER in message for message in caplog.messages)


def test_l0_10_a_method_that_there_is_not_is_not_found() -> None:
    for method in ("lsps2.get_info", "lsps0.nothing", "", "get_info"):
        assert ask(method)["error"]["code"] == -32601


@pytest.mark.parametrize("method", sorted(name for name in methods.METHODS if not name.startswith(("lsps2", "lsps5"))))
def test_l0_11_a_parameter_that_a_method_has_not_is_named(method: str) -> None:
    answer = ask(method, {"order_id": str(uuid4()), "zzz": 1, "aaa": 2} if method.endswith("get_order") else
                 {**(ORDER if method.endswith("create_order") else {}), "zzz": 1, "aaa": 2})  # fmt: skip
    assert answer["error"]["code"] == -32602
    assert answer["error"]["data"]["unrecognized"] == ["aaa", "zzz"]


@pytest.mark.parametrize("method", ["lsps0.list_protocols", "lsps1.get_info"])
def test_l0_11_what_wallets_say_of_themselves_is_tolerated(method: str) -> None:
    assert "result" in ask(method, {"client_info": {"app": "ZEUS"}, "public_key": PEER})


def test_l0_12_a_defect_of_ours_is_an_internal_error_without_a_word_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setitem(methods.METHODS, "lsps1.get_info", methods.Method(broken))  # type: ignore[arg-type]
    answer = ask("lsps1.get_info")
    assert answer["error"]["code"] == -32603
    assert "secret" not in json.dumps(answer)
    assert "a secret of ours" in caplog.text


def test_l0_14_what_we_cannot_do_now_is_a_servers_error_and_says_so(node: FakeNode) -> None:
    node.fails_at["add_hold_invoice"] = NodeUnavailable("away")
    assert create()["error"]["code"] == -32000


def test_l0_17_amounts_are_strings_with_their_unit_and_integers_are_taken_too() -> None:
    told = bought(lsp_balance_sat=1_000_000)
    assert told["lsp_balance_sat"] == "1000000"
    options = ask("lsps1.get_info")["result"]
    assert all(isinstance(value, str) for name, value in options.items() if name.endswith("_sat"))


def test_l0_27_who_is_not_served_is_rejected_with_a_sentence(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.BUY_RATE = "1/h"
    bought()
    error = create()["error"]
    assert error["code"] == 1 and error["data"]["message"]
    assert "result" in create(peer=OTHER)  # counted by its own key


def test_l1_27_the_peer_is_the_buyer_and_another_key_is_refused() -> None:
    order = ChannelOrder.objects.get(pk=bought()["order_id"])
    assert (order.node_pubkey, order.door) == (PEER, Door.LSPS1_BOLT8)
    assert "result" in create(public_key=PEER)
    refusal = create(public_key=OTHER)["error"]
    assert refusal["code"] == -32602 and refusal["data"]["property"] == "public_key"


def test_l1_31_an_order_is_shown_to_the_peer_that_made_it_and_to_nobody_else() -> None:
    """And nobody learns from the answer whether there is one."""
    order_id = bought()["order_id"]
    assert ask("lsps1.get_order", {"order_id": order_id})["result"]["order_id"] == order_id
    another = ask("lsps1.get_order", {"order_id": order_id}, peer=OTHER)
    nothing = ask("lsps1.get_order", {"order_id": str(uuid4())}, peer=OTHER)
    assert another["error"]["code"] == 101
    assert another == nothing


def test_l1_31_an_order_of_another_door_is_shown_to_the_node_that_gets_its_channel() -> None:
    order = OrderFactory.create(uri_set=True)
    assert ask("lsps1.get_order", {"order_id": str(order.pk)}, peer=order.node_pubkey)["result"]["order_id"] == str(
        order.pk
    )
    assert ask("lsps1.get_order", {"order_id": str(order.pk)}, peer=OTHER)["error"]["code"] == 101


def test_l1_30_create_order_and_get_order_answer_alike() -> None:
    told = bought()
    assert ask("lsps1.get_order", {"order_id": told["order_id"]})["result"] == told


def test_l1_19_a_token_that_was_not_sent_is_empty_and_null_stays_null() -> None:
    assert bought(token=...)["token"] == ""
    assert bought(token=None)["token"] is None


def test_l1_23_what_was_asked_for_is_mirrored() -> None:
    """ldk-node gives an order up where any of these differs."""
    told = bought(token=None, announce_channel=True, channel_expiry_blocks=5_000)
    for name in ORDER.keys() - {"refund_onchain_address", "token", "announce_channel", "channel_expiry_blocks"}:
        assert told[name] == ORDER[name]
    assert (told["token"], told["announce_channel"], told["channel_expiry_blocks"]) == (None, True, 5_000)


def test_l1_28_two_equal_requests_make_two_orders() -> None:
    assert bought()["order_id"] != bought()["order_id"]


def test_unpaid_orders_are_counted_by_the_peers_key(settings: Any) -> None:
    settings.UNPAID_ORDERS_PER_CLIENT = 2
    for _ in range(2):
        bought()
    assert create()["error"]["code"] == 1
    assert "result" in create(peer=OTHER)


def test_get_info_asks_no_node(node: FakeNode) -> None:
    node.fails = NodeUnavailable("away")
    node.calls.clear()
    assert "result" in ask("lsps1.get_info")
    assert node.calls == []


def test_peers_who_ask_one_after_the_other_what_is_on_offer_cost_the_database_one_look(
    django_assert_num_queries: Any,
) -> None:
    told = ask("lsps1.get_info")
    with django_assert_num_queries(0):
        assert ask("lsps1.get_info", peer=OTHER) == told


def test_who_buys_is_held_to_what_is_on_offer_now_whatever_get_info_said_a_moment_ago() -> None:
    most = ask("lsps1.get_info")["result"]["max_initial_lsp_balance_sat"]
    Service.objects.update(max_channel_sat=int(most) - 1)
    assert ask("lsps1.get_info")["result"]["max_initial_lsp_balance_sat"] == most
    assert create(lsp_balance_sat=most, client_balance_sat="0")["error"]["code"] == 100
    methods.offered.forget()
    assert ask("lsps1.get_info")["result"]["max_initial_lsp_balance_sat"] == str(int(most) - 1)


def test_where_nothing_is_on_sale_get_info_says_so() -> None:
    Service.objects.update(on_sale=False)
    assert ask("lsps1.get_info")["error"]["code"] == -32000


# Dialects, with a whole order


def test_zeus_may_send_the_term_as_a_string_and_reads_its_refusals() -> None:
    info = {"app": "ZEUS", "app_version": "0.13.0", "node": "Embedded LND", "node_version": "0.20"}
    assert bought(channel_expiry_blocks="4380", client_info=info)["channel_expiry_blocks"] == 4_380
    error = create(lsp_balance_sat="1", client_info=info)["error"]
    assert error["code"] == 100 and error["data"]["message"]


def test_balanceofsatoshis_finds_the_options_nested_and_one_state_of_the_payment() -> None:
    told = ask("lsps1.get_info")["result"]
    assert told["options"]["max_channel_balance_sat"] == told["max_channel_balance_sat"]
    order = bought()
    assert order["payment"]["bolt11"]["invoice"].startswith("lnbcrt")
    assert ask("lsps1.get_order", {"order_id": order["order_id"]})["result"]["payment"]["state"] == "EXPECT_PAYMENT"


#: As its client (17.10.0) sends an order: by the first draft's names, and with an id of 64 hex digits.
BOS_ORDER: dict[str, Any] = {
    "announce_channel": True,
    "channel_expiry_blocks": 90 * 144,
    "client_balance_sat": "0",
    "confirms_within_blocks": 48 * 6,
    "lsp_balance_sat": "5000000",
    "token": "",
}


def test_balanceofsatoshis_orders_by_the_first_drafts_names_and_finds_what_it_reads() -> None:
    Service.objects.update(max_expiry_blocks=90 * 144)
    told = ask("lsps1.create_order", BOS_ORDER, id="ab" * 32)["result"]
    assert told["payment"]["lightning_invoice"].startswith("lnbcrt") and told["order_id"]
    assert told["funding_confirms_within_blocks"] == 288
    assert told["required_channel_confirmations"] == 1
    both = ask("lsps1.create_order", {**BOS_ORDER, "funding_confirms_within_blocks": 6})
    assert both["error"]["data"]["unrecognized"] == ["confirms_within_blocks"]


def test_ldk_reads_every_field_of_an_order() -> None:
    told = bought(id=LDK_ID, token=None)
    assert isinstance(told["payment"]["onchain"]["min_fee_for_0conf"], int)
    assert told["payment"]["bolt11"]["state"] in {"EXPECT_PAYMENT", "PAID", "REFUNDED"}
    assert told["created_at"].endswith("Z") and told["channel"] is None
    error = ask("lsps1.get_order", {"order_id": str(uuid4())}, id=LDK_ID)["error"]
    assert set(error) == {"code", "message"}


# Whatever comes

_METHODS = st.sampled_from([*methods.METHODS, "lsps2.get_info", "x"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_PARAMS = st.dictionaries(st.sampled_from([*ORDER, "order_id", "public_key", "client_info", "x"]), _JSON, max_size=6)
_FILLED = st.builds(lambda changes: {**ORDER, **changes}, _PARAMS)
_REQUESTS = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "id": st.text(max_size=40), "method": _METHODS, "params": _PARAMS | _FILLED}
)
_OBJECTS = st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error"]), _JSON | _PARAMS)
_WRITTEN = (_REQUESTS | _OBJECTS | _JSON).flatmap(
    lambda value: st.booleans().map(lambda plain: json.dumps(value, ensure_ascii=plain).encode(errors="surrogatepass"))
)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    payload = bytearray(draw(_WRITTEN))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(payload)))
        payload[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return bytes(payload)


def whatever_comes(payload: bytes) -> None:
    """No crash; a request has its one answer, by its id; what is no object, the parse error."""
    said = answering.begun(PEER, payload)
    if isinstance(said, Call):
        said = answering.answer(PEER, said)
    if said is None:
        assert not (isinstance(value := json.loads(payload), dict) and "id" in value and "method" in value)
        return
    answer = json.loads(said)
    assert len(said) <= MOST_BYTES and b"\x00" not in said
    assert answer["jsonrpc"] == "2.0" and ("result" in answer) != ("error" in answer)
    assert answer.get("error", {}).get("code") != -32603
    try:
        asked = json.loads(payload)
    except ValueError:
        assert answer["error"]["code"] == -32700 and answer["id"] is None
        return
    if answer["id"] is not None:
        assert answer["id"] == asked["id"]


_ANYTHING = st.binary(max_size=200) | _WRITTEN | _damaged()
_WORLD = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.fixture
def _many(settings: Any) -> None:
    settings.BUY_RATE, settings.UNPAID_ORDERS_PER_CLIENT = "1000000/s", 1_000_000


@runs(max_examples=500, deadline=None, suppress_health_check=_WORLD)
@given(payload=_ANYTHING)
@example(b'{"jsonrpc":"2.0","id":"a","method":"lsps1.get_order","params":{"order_id":"\\u0000"}}')
@example(b'{"jsonrpc":"2.0","id":"\\ud800","method":"lsps1.get_info"}')
def test_whatever_bytes_come_nothing_breaks_and_no_request_is_left_unanswered(_many: None, payload: bytes) -> None:
    whatever_comes(payload)


@pytest.mark.long
@pytest.mark.timeout(1800)
@runs(max_examples=100_000, deadline=None, suppress_health_check=_WORLD)
@given(payload=_ANYTHING)
def test_of_a_hundred_thousand_messages_none_breaks_anything(_many: None, payload: bytes) -> None:
    whatever_comes(payload)
