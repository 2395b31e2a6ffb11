"""What a hostile client sends: refused with a sentence, never a 500, and nothing is left behind."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from orders.models import ChannelOrder, IdempotencyKey, OrderEvent
from tests.factories import OrderFactory, pubkey
from tests.integration.conftest import BODY, KEY, Api

POSTS = ["/channel/buy", "/channel/estimate", "/channel/manual_finalise", "/channel/order", "/lnurl/channel"]
GETS = ["/node/info", "/channel/order", "/lnurl/channel"]

NO_INTEGERS: list[Any] = [
    True, False, "1000000", "1e6", "", " ", 1000000.0, 1.5, -0.0, [], [1], {}, {"a": 1}, "\x00", "\ud800", "１０００",
]  # fmt: skip
HUGE = [2**31, 2**63 - 1, 2**63, 2**64, 10**30, 10**4000, -1, -(2**31), -(2**63) - 1, -(10**30)]
NO_IDS: list[Any] = [
    "", " ", "x", "0", "None", "null", "' OR 1=1 --", "\x00", "%00", "\ud800", "../../etc/passwd", "a" * 10_000,
    "{00000000-0000-0000-0000-000000000000}", "urn:uuid:00000000-0000-0000-0000-000000000000",
    "0_000000-0000-0000-0000-000000000000", "０" * 32, "<script>alert(1)</script>",
]  # fmt: skip
NO_STRINGS: list[Any] = [0, 1, -1, 1.5, True, [], ["x"], {}, {"$ne": None}, 10**30]
NO_FLAGS: list[Any] = ["yes", "", "2", 2, -1, 1.0, [], {}, "\x00", "\ud800", 10**30]

NO_JSON = ["text/plain", "multipart/form-data; boundary=x", "application/xml", "x", "\x00"]
NO_PATHS = ["/channel/order\x00", "/%00", "/channel/%ff", "/channel//order", "/channel/order;x"]

RAW = {
    "nothing": b"",
    "a word": b"nonsense",
    "half an object": b'{"local_balance": 1',
    "trailing": b"{} {}",
    "null": b"null",
    "a number": b"5",
    "a string": b'"x"',
    "a list": b"[]",
    "a list of objects": b'[{"order_id": 1}]',
    "not UTF-8": b'{"order_id": "\xff\xfe"}',
    "UTF-16": '{"order_id": "x"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "NUL bytes": b'{"order_id": "\x00"}',
    "a lone surrogate": b'{"order_id": "\\ud800", "k1": "\\udfff"}',
    "NaN": b'{"local_balance": NaN, "order_id": NaN}',
    "Infinity": b'{"local_balance": Infinity, "order_id": -Infinity}',
    "1e999": b'{"local_balance": 1e999, "order_id": 1e999}',
    "many digits": b'{"local_balance": ' + b"9" * 20_000 + b"}",
    "a key twice": b'{"local_balance": 1, "local_balance": 2, "order_id": "a", "order_id": "b"}',
    "deep lists": b"[" * 30_000 + b"]" * 30_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "deep in a field": b'{"local_balance": ' + b"[" * 500 + b"]" * 500 + b"}",
    "deeper than any request": b'{"order_id": ' + b"[" * 100 + b"]" * 100 + b"}",
    "too large": b'{"order_id": "' + b"x" * 65_536 + b'"}',
    "much too large": b"x" * 1_000_000,
}


def nothing_is_left() -> bool:
    return not any(model.objects.exists() for model in (ChannelOrder, IdempotencyKey, OrderEvent))


def refused(answer: Any, path: str) -> bool:
    if path.endswith("/lnurl/channel"):
        return answer.status_code == 200 and answer.said["status"] == "ERROR" and bool(answer.said["reason"])
    return 400 <= answer.status_code < 500 and bool(answer.said["error"])


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("raw", RAW.values(), ids=RAW.keys())
def test_a_body_that_is_no_request_is_refused(api: Api, path: str, raw: bytes) -> None:
    assert refused(api.send(path, raw), path)
    assert nothing_is_left()


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data; boundary=x", "application/xml", "x", "\x00"]
)
def test_a_body_of_another_type_is_refused(api: Api, path: str, content_type: str) -> None:
    assert refused(api.send(path, b'{"order_id": "x"}', content_type=content_type), path)
    assert nothing_is_left()


@pytest.mark.parametrize("field", ["local_balance", "remote_balance", "channel_expiry"])
@pytest.mark.parametrize("value", [*NO_INTEGERS, *HUGE], ids=lambda value: repr(value)[:20])
def test_what_is_no_amount_is_refused_and_the_field_named(api: Api, field: str, value: Any) -> None:
    answer = api.buy({"Idempotency-Key": KEY}, **{field: value})
    assert (answer.status_code, answer.said["field"]) == (400, field)
    assert nothing_is_left()


@pytest.mark.parametrize("field", ["local_balance", "channel_expiry"])
@pytest.mark.parametrize("value", [None, ...], ids=["null", "absent"])
def test_an_amount_that_is_missing_is_named(api: Api, field: str, value: Any) -> None:
    answer = api.buy({"Idempotency-Key": KEY}, **{field: value})
    assert (answer.status_code, answer.said["field"], answer.said["code"]) == (400, field, "required")
    assert nothing_is_left()


@pytest.mark.parametrize("field", ["product_id", "node_uri", "refund_onchain_address"])
@pytest.mark.parametrize("value", NO_STRINGS, ids=repr)
def test_what_is_no_text_is_refused_and_the_field_named(api: Api, field: str, value: Any) -> None:
    answer = api.buy({"Idempotency-Key": KEY}, **{field: value})
    assert (answer.status_code, answer.said["field"]) == (400, field)
    assert nothing_is_left()


@pytest.mark.parametrize("value", [each for each in NO_IDS if each], ids=lambda value: repr(value)[:20])
def test_what_is_no_product_is_refused_and_the_field_named(api: Api, value: str) -> None:
    answer = api.buy({"Idempotency-Key": KEY}, product_id=value)
    assert (answer.status_code, answer.said["field"]) == (400, "product_id")
    assert nothing_is_left()


@pytest.mark.parametrize("value", NO_FLAGS, ids=repr)
def test_what_is_no_yes_or_no_is_refused_and_the_field_named(api: Api, value: Any) -> None:
    answer = api.buy({"Idempotency-Key": KEY}, private=value)
    assert (answer.status_code, answer.said["field"]) == (400, "private")
    order = OrderFactory(paid_lightning=True)
    body = {"order_id": str(order.pk), "node_uri": pubkey(5), "private": value}
    answer = api.post("/channel/manual_finalise", body)
    assert (answer.status_code, answer.said["field"]) == (400, "private")
    order.refresh_from_db()
    assert order.state == "paid"


@pytest.mark.parametrize("value", NO_IDS, ids=lambda value: repr(value)[:20])
def test_what_is_no_id_is_the_id_of_no_order(api: Api, value: str) -> None:
    for answer in (
        api.post("/channel/order", {"order_id": value}),
        api.post("/channel/manual_finalise", {"order_id": value, "node_uri": pubkey(5)}),
    ):
        assert (answer.status_code, answer.said["field"]) == (404, "order_id")
        assert "order not found" in answer.said["error"].lower()


@pytest.mark.parametrize("value", NO_STRINGS, ids=repr)
@pytest.mark.parametrize("path", ["/channel/order", "/channel/manual_finalise"])
def test_an_id_that_is_no_text_is_refused_and_the_field_named(api: Api, path: str, value: Any) -> None:
    answer = api.post(path, {"order_id": value, "node_uri": pubkey(5)})
    assert (answer.status_code, answer.said["field"]) == (400, "order_id")


@pytest.mark.parametrize("field", ["order_id", "k1", "remoteid", "remote_id"])
@pytest.mark.parametrize("value", NO_STRINGS, ids=repr)
def test_a_wallet_that_posts_no_text_is_told_which(api: Api, field: str, value: Any) -> None:
    answer = api.post("/lnurl/channel", {"k1": str(uuid4()), "remoteid": pubkey(5), field: value})
    assert refused(answer, "/lnurl/channel")
    assert field in answer.said["reason"]


@pytest.mark.parametrize("path", GETS)
@pytest.mark.parametrize(
    "query",
    ["order_id=%00", "order_id=%ff%fe", "order_id=%ED%A0%80", "order_id=" + "x" * 50_000, "order_id=%", "%00=1", "=",
     "&&&", "order_id[]=1", "order_id=1&order_id=2", "k1=%00&remoteid=%00", "full_data=%00", "format=%00", "\xff",
     "&".join(f"a{n}=1" for n in range(1_200))],
    ids=lambda query: query[:16],
)  # fmt: skip
def test_no_query_breaks_an_endpoint(api: Api, path: str, query: str) -> None:
    answer = api.get(f"{path}?{query}")
    if path == "/node/info":
        assert answer.status_code in {200, 400}
    else:
        assert refused(answer, path)


@pytest.mark.parametrize("path", [*POSTS, *GETS])
@pytest.mark.parametrize("length", ["-1", "abc", "0", "99999999999999999999", ""])
def test_no_content_length_breaks_an_endpoint(api: Api, path: str, length: str) -> None:
    answer = api.client.generic("POST", path, b"{}", content_type="application/json", CONTENT_LENGTH=length)
    assert answer.status_code < 500
    assert nothing_is_left()


@pytest.mark.parametrize("path", ["/channel/order\x00", "/%00", "/channel/%ff", "/channel//order", "/channel/order;x"])
def test_no_path_breaks_the_server(api: Api, path: str) -> None:
    assert api.get(path).status_code == 404


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Content-Language", "X-Forwarded-Host", "Cookie"])
@pytest.mark.parametrize("value", ["\x00", "\xff", "x" * 9_000, ",,,,", "[::1", "' OR 1=1"])
def test_no_header_breaks_an_endpoint(api: Api, settings: Any, header: str, value: str) -> None:
    settings.TRUSTED_PROXIES = ("127.0.0.0/8",)
    assert api.buy({header: value}).status_code == 200


def test_what_a_client_sent_is_not_said_back(api: Api) -> None:
    mark = "<script>alert(1)</script>"
    bodies: list[dict[str, Any]] = [
        {**BODY, name: mark}
        for name in ("local_balance", "product_id", "node_uri", "refund_onchain_address", "private")
    ]
    for body in bodies:
        assert mark not in api.post("/channel/buy", body).content.decode()
    assert mark not in api.get("/channel/order", {"order_id": mark}).content.decode()
    assert mark not in api.get(f"/{mark}").content.decode()
    assert mark not in api.client.generic(mark.strip("<>"), "/node/info").content.decode()


def test_the_largest_body_that_is_allowed_is_read(api: Api) -> None:
    raw = json.dumps({**BODY, "padding": ""}).encode()
    raw = raw.replace(b'"padding": ""', b'"padding": "' + b"x" * (65_536 - len(raw)) + b'"')
    assert len(raw) == 65_536
    assert api.send("/channel/buy", raw).status_code == 200


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e-400", "1E6", "1000000.0", "-0.0", "1" + "0" * 400])
@pytest.mark.parametrize("field", ["local_balance", "remote_balance", "channel_expiry"])
def test_a_number_that_is_no_amount_is_refused_and_the_field_named(api: Api, field: str, number: str) -> None:
    raw = json.dumps({**BODY, field: "HERE"}).replace('"HERE"', number)
    answer = api.send("/channel/buy", raw.encode())
    assert (answer.status_code, answer.said["field"]) == (400, field)
    assert nothing_is_left()


@pytest.mark.parametrize("number", ["+1", "01", ".5", "5.", "0x10", "1_000_000", "1e", "--1", "١٢٣", "１"])
def test_what_json_does_not_call_a_number_is_no_json(api: Api, number: str) -> None:
    raw = json.dumps({**BODY, "local_balance": "HERE"}).replace('"HERE"', number)
    answer = api.send("/channel/buy", raw.encode())
    assert (answer.status_code, answer.said["code"]) == (400, "malformed")


@pytest.mark.parametrize(
    "key", ["", " ", "\x00" * 30, "\t", "a b" * 10, "\xe4" * 30, "x" * 21, "x" * 256, "x" * 60_000]
)
def test_what_is_no_idempotency_key_is_refused_and_named(api: Api, key: str) -> None:
    answer = api.buy({"Idempotency-Key": key})
    assert (answer.status_code, answer.said["field"]) == (400, "Idempotency-Key")
    assert nothing_is_left()


@pytest.mark.parametrize(
    "method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "get", "X" * 999]
)
@pytest.mark.parametrize("mount", ["", "/v1", "/api/v1"])
def test_no_method_breaks_a_route(api: Api, mount: str, method: str) -> None:
    for path in [*(f"{mount}{path}" for path in {*POSTS, *GETS}), "/", "/docs", "/openapi.yaml", "/healthz", "/readyz"]:
        answer = api.client.generic(method, path, b"{}", content_type="application/json")
        assert answer.status_code < 500 or path in {"/healthz", "/readyz"}, path
        assert answer.content == b"" or method != "HEAD"
    assert nothing_is_left()


@pytest.mark.parametrize("digits", ["０" * 32, "٠" * 32, "𝟎" * 32, "0" * 31 + "٠"])
@pytest.mark.parametrize("name", ["order_id", "k1", "remoteid"])
def test_digits_of_other_scripts_are_no_digits(api: Api, name: str, digits: str) -> None:
    order = OrderFactory(paid_lightning=True)
    query = {"k1": str(order.pk), "remoteid": pubkey(5), name: digits}
    assert refused(api.get("/lnurl/channel", query), "/lnurl/channel")
    assert refused(api.get("/channel/order", {"order_id": digits}), "/channel/order")
    order.refresh_from_db()
    assert order.state == "paid"


def test_fifty_ids_are_read_and_one_more_or_endless_ones_are_refused(api: Api) -> None:
    ids = [str(uuid4()) for _ in range(51)]
    assert api.get("/channel/order", {"order_id": ",".join(ids[:50])}).said == []
    for text in (",".join(ids), "x," * 30_000):
        answer = api.post("/channel/order", {"order_id": text})
        assert answer.status_code == 400 and answer.said["field"] == "order_id"
