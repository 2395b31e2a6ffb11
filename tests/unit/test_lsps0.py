"""LSPS0's messages, by the numbers of what bLIP-50 demands: what is read, what is written, who is spoken to how."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lsps.bolt8 import codec, dialects
from lsps.bolt8.codec import MESSAGE_TYPE, MOST_BYTES, Call, Ignored, Unfit
from lsps.bolt8.limits import AT_ONCE, BURST, BURST_BYTES, FLOOD, PER_SECOND, Limits, Verdict
from lsps.bolt8.waiting import Waiting
from lsps.refusing import Refusal, invalid, unrecognized

CALL: dict[str, Any] = {"jsonrpc": "2.0", "id": "a-1", "method": "lsps0.list_protocols", "params": {}}


def sent(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in {**CALL, **changes}.items() if value is not ...}).encode()


def code_of(read: Any) -> int:
    assert isinstance(read, Unfit), read
    return read.refusal.code


def test_l0_01_all_is_said_in_messages_of_one_type() -> None:
    assert MESSAGE_TYPE == 37_913


@pytest.mark.parametrize("around", ["{}", " {} ", "\n\t{}\r\n"])
def test_l0_02_one_json_object_is_read_with_whitespace_around_it(around: str) -> None:
    payload = around.replace("{}", sent().decode()).encode()
    assert codec.read(payload) == Call("a-1", "lsps0.list_protocols", {})


@pytest.mark.parametrize(
    "payload",
    [
        b"", b" ", b"[]", b"null", b"1", b'"a"', b"{", b"{}{}", b"{} {}", sent()[:-1], b"[" + sent() + b"]",
        b"\xff" + sent(), sent().decode().encode("utf-16"), b"\xef\xbb\xbf" + sent(), b'{"a":NaN}', b'{"a":1,"a":2}',
        b'{"a":' * 20_000, b"[" * 60_000, b'{"a":' + b"9" * 5_000 + b"}", b'{"a":"\\ud800"}', b'{"a":"\\u0000"}',
        sent(params={"a": "x" * MOST_BYTES}),
    ],
)  # fmt: skip
def test_l0_02_whatever_is_not_one_object_is_a_parse_error_without_an_id(payload: bytes) -> None:
    """A batch is one of these: bLIP-50 has none."""
    read = codec.read(payload)
    assert code_of(read) == -32700
    assert isinstance(read, Unfit) and read.id is None


def test_l0_03_a_byte_0_anywhere_is_a_parse_error() -> None:
    assert code_of(codec.read(sent() + b"\x00")) == -32700
    assert code_of(codec.read(sent().replace(b"a-1", b"a\x00"))) == -32700


@pytest.mark.parametrize(
    "said",
    [
        {"jsonrpc": "2.0", "id": "a", "result": {}},
        {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "?"}},
        {"jsonrpc": "2.0", "method": "lsps5.something", "params": {}},
    ],
)
def test_l0_05_answers_and_notifications_are_not_answered(said: dict[str, Any]) -> None:
    """Two servers that told each other of each other's errors would never end."""
    assert isinstance(codec.read(json.dumps(said).encode()), Ignored)


def test_l0_06_an_answer_has_the_id_and_either_a_result_or_an_error() -> None:
    assert json.loads(codec.result("ä😀", {"a": 1})) == {"jsonrpc": "2.0", "id": "ä😀", "result": {"a": 1}}
    problem = {"code": -32601, "message": "no"}
    assert json.loads(codec.error("x", problem)) == {"jsonrpc": "2.0", "id": "x", "error": problem}
    assert json.loads(codec.error(None, problem))["id"] is None


@pytest.mark.parametrize("changes", [{"id": 7}, {"id": None}, {"id": "x" * 1_001}, {"id": ..., "method": 1}])
def test_l0_06_what_has_no_string_for_an_id_is_no_request(changes: dict[str, Any]) -> None:
    read = codec.read(sent(**changes))
    assert code_of(read) == -32600
    assert isinstance(read, Unfit) and read.id is None


@pytest.mark.parametrize(
    "changes",
    [{"jsonrpc": "1.0"}, {"jsonrpc": ...}, {"jsonrpc": 2.0}, {"method": 1}, {"method": ...}, {"method": None}],
)
def test_l0_12_what_breaks_json_rpc_is_an_invalid_request_by_its_id(changes: dict[str, Any]) -> None:
    read = codec.read(sent(**changes))
    assert code_of(read) == -32600
    assert isinstance(read, Unfit) and read.id == "a-1"


@pytest.mark.parametrize("params", [[], [1], None, "a", 1])
def test_l0_13_params_go_by_name_and_the_error_says_what_was_not_recognized(params: Any) -> None:
    read = codec.read(sent(params=params))
    assert code_of(read) == -32602
    assert isinstance(read, Unfit) and dialects.PLAIN.error(read.refusal)["data"]["unrecognized"] == []


def test_l0_15_a_request_without_params_asks_for_none() -> None:
    assert codec.read(sent(params=...)) == Call("a-1", "lsps0.list_protocols", {})


def test_l0_28_no_answer_is_larger_than_a_message() -> None:
    """The node would take the peer's connection down for it."""
    for size in (MOST_BYTES - 100, MOST_BYTES, 2 * MOST_BYTES):
        assert len(codec.result("a", "x" * size)) <= MOST_BYTES
        assert len(codec.error("a", {"code": 1, "message": "x" * size, "data": "y" * size})) <= MOST_BYTES
    assert json.loads(codec.result("a", "x" * MOST_BYTES))["error"]["code"] == -32603
    assert json.loads(codec.error("a", {"code": 1, "message": "m", "data": "x" * MOST_BYTES}))["error"] == {
        "code": 1,
        "message": "m",
    }


def test_l0_33_strings_are_written_in_their_own_letters() -> None:
    assert 'Ünïcödé 😀 \\n \\"' in codec.result("a", 'Ünïcödé 😀 \n "').decode()


# Dialects


def call(id: str = "a-1", method: str = "lsps1.create_order", **params: Any) -> Call:
    return Call(id, method, params)


LDK_ID = "9f86d081884c7d659a2feaa0c55ad015"


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        (call(token=""), "bLIP-51"),
        (call(), "bLIP-51"),
        (call(id="6a2f41a3-c54c-fce8-32d2-0324e1c32e22"), "bLIP-51"),
        (call(token=None), "LDK"),
        (call(LDK_ID, "lsps1.get_order"), "LDK"),
        (call(client_info={"app": "ZEUS", "node": "Embedded LND"}), "ZEUS"),
        (call(client_info={"app": "zeus"}, token=None), "ZEUS"),
        (call(client_info="zeus"), "bLIP-51"),
        (call(confirms_within_blocks=288), "balanceofsatoshis"),
    ],
)
def test_a_wallet_is_known_by_what_it_sends(shown: Call, name: str) -> None:
    assert dialects.of(shown).name == name


def test_zeus_reads_the_sentence_in_the_errors_data() -> None:
    told = dialects.of(call(client_info={"app": "ZEUS"})).error(invalid("lsp_balance_sat", "is required"))
    assert told["data"]["message"] == "lsp_balance_sat is required."
    assert told["data"]["property"] == "lsp_balance_sat"


def test_ldk_gets_no_data_that_it_could_not_read_and_the_sentence_in_the_message() -> None:
    told = dialects.of(call(token=None)).error(Refusal(100, "Too large.", "max_channel_balance_sat"))
    assert told == {"code": 100, "message": "Option mismatch: Too large."}


def test_ldk_is_told_of_a_held_payment_by_the_state_that_it_knows() -> None:
    """It has no HOLD: an order that is held would be a malformed message to it, and its buyer would not see it."""
    told = {
        "order_id": "1",
        "payment": {
            "state": "HOLD",
            "bolt11": {"state": "HOLD", "invoice": "lnbcrt"},
            "onchain": {"state": "EXPECT_PAYMENT"},
        },
    }
    ldk = dialects.of(call(LDK_ID)).order(told)
    assert ldk["payment"]["state"] == ldk["payment"]["bolt11"]["state"] == "PAID"
    assert ldk["payment"]["onchain"]["state"] == "EXPECT_PAYMENT"
    assert ldk["payment"]["bolt11"]["invoice"] == "lnbcrt" and ldk["order_id"] == "1"
    assert dialects.of(call()).order(told) is told


def test_ldk_always_gets_a_number_for_the_feerate_and_others_what_the_specification_has() -> None:
    assert dialects.of(call(token=None)).words(aliases=True).always_a_feerate
    assert not dialects.of(call()).words(aliases=True).always_a_feerate


@pytest.mark.parametrize("refusal", [Refusal(-32700, "?"), Refusal(-32600, "?")])
def test_who_could_not_be_understood_gets_nothing_that_a_strict_reader_would_stumble_over(refusal: Refusal) -> None:
    assert "data" not in dialects.PLAIN.error(refusal)


def test_l0_11_the_names_of_unknown_parameters_are_told() -> None:
    assert dialects.PLAIN.error(unrecognized(["b", "a"]))["data"]["unrecognized"] == ["a", "b"]


# Limits


def test_a_wallets_usual_requests_are_all_taken() -> None:
    limits = Limits()
    for number in range(100):
        for _ in range(3):
            assert limits.heard("p", 300, number * 2.0) is Verdict.TAKEN
            limits.answered("p")


def test_who_asks_too_fast_is_told_once_and_then_nothing_until_it_is_slower() -> None:
    limits = Limits()

    def ask(now: float) -> Verdict:
        verdict = limits.heard("p", 100, now)
        if verdict is not Verdict.DROPPED:
            limits.answered("p")
        return verdict

    assert [ask(0) for _ in range(BURST + 3)] == [Verdict.TAKEN] * BURST + [Verdict.REFUSED] + [Verdict.DROPPED] * 2
    assert ask(1 / PER_SECOND) is Verdict.TAKEN
    assert ask(1 / PER_SECOND) is Verdict.REFUSED


def test_one_peers_flood_takes_nothing_from_another() -> None:
    limits = Limits()
    for _ in range(10_000):
        limits.heard("flood", 60_000, 0)
    assert limits.heard("p", 300, 0) is Verdict.TAKEN


def test_a_peer_has_so_many_under_way_and_no_more_until_one_is_answered() -> None:
    limits = Limits()
    assert [limits.heard("p", 100, 0) for _ in range(AT_ONCE)] == [Verdict.TAKEN] * AT_ONCE
    assert limits.heard("p", 100, 0) is Verdict.REFUSED
    assert limits.heard("p", 100, 0) is Verdict.DROPPED
    for _ in range(2):
        limits.answered("p")
    assert limits.heard("p", 100, 0) is Verdict.TAKEN


def test_large_messages_are_counted_by_their_bytes() -> None:
    limits = Limits()
    taken = sum(limits.heard(f"p{0}", MOST_BYTES, 0) is Verdict.TAKEN for _ in range(8))
    assert taken == BURST_BYTES // MOST_BYTES == 4


def test_who_goes_on_without_end_is_a_flood_and_who_is_only_impatient_is_none() -> None:
    limits = Limits()
    verdicts = [limits.heard("flood", 100, number / 10_000) for number in range(2 * FLOOD)]
    assert verdicts.count(Verdict.FLOOD) == 1
    assert Verdict.FLOOD not in [limits.heard("impatient", 100, number / 20) for number in range(4 * FLOOD)]


def test_l0_30_what_is_remembered_of_peers_is_bounded_and_none_is_forgotten_that_waits() -> None:
    limits = Limits()
    for _ in range(AT_ONCE):
        limits.heard("waits", 100, 0)
    for number in range(20_000):
        limits.heard(f"p{number}", 100, number / 1_000)
        limits.answered(f"p{number}")
    assert len(limits) <= 4_096
    assert limits.heard("waits", 100, 20) is Verdict.REFUSED


def test_peers_take_turns_and_each_ones_own_requests_keep_their_order() -> None:
    waiting: Waiting[int] = Waiting(100)
    for peer, items in (("a", (1, 2, 3)), ("b", (4,)), ("c", (5, 6))):
        for item in items:
            assert waiting.add(peer, item) is None
    assert [waiting.take() for _ in range(7)] == [("a", 1), ("b", 4), ("c", 5), ("a", 2), ("c", 6), ("a", 3), None]


def test_where_too_many_wait_the_one_with_the_most_gives_way() -> None:
    waiting: Waiting[int] = Waiting(4)
    for item in (1, 2, 3):
        waiting.add("many", item)
    waiting.add("one", 4)
    assert waiting.add("new", 5) == ("many", 3)
    assert len(waiting) == 4
    assert sorted(waiting.clear()) == [("many", 1), ("many", 2), ("new", 5), ("one", 4)]
    assert not waiting and waiting.take() is None


def test_where_all_have_as_many_the_last_to_come_gives_way() -> None:
    """Else whoever comes late enough, often enough, would keep all others from their turn."""
    waiting: Waiting[int] = Waiting(3)
    for item in range(3):
        waiting.add(f"p{item}", item)
    assert waiting.add("late", 9) == ("late", 9)
    assert waiting.take() == ("p0", 0)
