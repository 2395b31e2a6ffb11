"""GET /lnurl/channel: LUD-01 and LUD-02."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from bech32 import bech32_decode, convertbits

from orders import keys
from orders.models import ChannelOrder, NodeSnapshot, Service
from tests.factories import OpeningFactory, OrderFactory, pubkey
from tests.fakes import OUR_KEY
from tests.integration.conftest import Api
from tests.site.test_configuration import MAINNET, configured, faults

PATH = "/lnurl/channel"
MOUNTS = ["", "/v1", "/api/v1"]
OK = {"status": "OK"}
BAD_QUERIES = ["", "order_id=", "order_id=nonsense", "k1=", "k1=x&remoteid=y", "private=2", "order_id=%00", "%00=%00"]


def ask(api: Api, **query: Any) -> Any:
    answer = api.get(PATH, query)
    assert answer.status_code == 200
    return answer.said


def failed(said: Any) -> bool:
    return set(said) == {"status", "reason"} and said["status"] == "ERROR" and bool(said["reason"])


def paid(**more: Any) -> ChannelOrder:
    order: ChannelOrder = OrderFactory(paid_lightning=True, **more)
    return order


def decoded(lnurl: str) -> str:
    prefix, words = bech32_decode(lnurl)
    assert prefix == "lnurl"
    return bytes(convertbits(words or [], 5, 8, False) or []).decode()


def test_lu01_the_lnurl_leads_to_the_first_step_in_either_case(api: Api, settings: Any) -> None:
    settings.PUBLIC_URL = "https://lsp.example/shop"
    lnurl = api.buy().said["lnurl_channel"]
    order = ChannelOrder.objects.get()
    assert lnurl == lnurl.lower()
    for text in (lnurl, lnurl.upper()):
        assert decoded(text) == f"https://lsp.example/shop/lnurl/channel?order_id={order.pk}"


def test_lu01_the_lnurl_of_an_order_works_as_it_is(api: Api) -> None:
    order = paid()
    url = urlsplit(decoded(api.get("/channel/order", {"order_id": str(order.pk)}).said["lnurl_string"]))
    assert api.client.get(f"{url.path}?{url.query}").json()["k1"] == str(order.pk)


def test_lu01_it_fits_a_qr_code_and_is_the_same_by_every_scheme(api: Api, settings: Any) -> None:
    """In capitals a QR code has two characters in 11 bits; LUD-17 only replaces https by lnurlc."""
    settings.PUBLIC_URL = "https://channels.lightning-service-provider.example"
    order = paid()
    lnurl = api.get("/channel/order", {"order_id": str(order.pk)}).said["lnurl_string"]
    assert re.fullmatch(r"[A-Z0-9]+", lnurl.upper()) and len(lnurl) < 255
    assert decoded(f"lightning:{lnurl}".partition(":")[2]) == decoded(lnurl)
    by_lud_17 = urlsplit(decoded(lnurl).replace("https", "lnurlc", 1))
    assert by_lud_17.scheme == "lnurlc"
    assert api.client.get(f"{by_lud_17.path}?{by_lud_17.query}").json()["k1"] == str(order.pk)


@pytest.mark.parametrize("public_url", ["http://lsp.example", "http://127.0.0.1:8000", "http://onion.example"])
def test_lu02_on_mainnet_wallets_are_never_led_to_plain_http(public_url: str) -> None:
    assert [fault.partition(" ")[0] for fault in faults(**MAINNET | {"PUBLIC_URL": public_url})] == ["PUBLIC_URL"]


@pytest.mark.parametrize("public_url", ["https://lsp.example/shop", f"http://{'a' * 56}.onion"])
def test_lu02_https_and_onion_are_as_wallets_want_it(public_url: str) -> None:
    assert configured(**MAINNET | {"PUBLIC_URL": public_url})["PUBLIC_URL"] == public_url


def test_lu03_the_first_step_says_all_that_a_wallet_needs(api: Api, settings: Any) -> None:
    settings.PUBLIC_URL = "https://lsp.example"
    order = paid()
    assert ask(api, order_id=order.pk) == {
        "uri": f"{OUR_KEY}@203.0.113.5:9735",
        "callback": "https://lsp.example/lnurl/channel",
        "k1": str(order.pk),
        "tag": "channelRequest",
        "status": "OK",
    }


def test_lu03_the_host_header_does_not_choose_the_callback(api: Api, settings: Any) -> None:
    settings.PUBLIC_URL, settings.ALLOWED_HOSTS = "https://lsp.example", ["*"]
    said = api.get(PATH, {"order_id": str(paid().pk)}, Host="evil.example").said
    assert said["callback"] == "https://lsp.example/lnurl/channel"


def test_lu03_the_address_is_one_that_wallets_can_dial(api: Api) -> None:
    hosts = ["aaaa.onion:9735", "[2001:db8::5]:9735", "node.example:9735"]
    NodeSnapshot.objects.update(uris=[f"{OUR_KEY}@{host}" for host in hosts])
    assert ask(api, order_id=paid().pk)["uri"] == f"{OUR_KEY}@node.example:9735"


@pytest.mark.parametrize("uris", [[], [OUR_KEY]])
def test_lu03_without_an_address_of_the_node_there_is_a_reason(api: Api, uris: list[str]) -> None:
    NodeSnapshot.objects.update(uris=uris)
    assert failed(ask(api, order_id=paid().pk))


def test_lu03_the_first_step_may_be_repeated_after_the_claim(api: Api) -> None:
    order = OrderFactory(uri_set=True)
    assert ask(api, order_id=order.pk)["tag"] == "channelRequest"


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize(
    "query", ["", "order_id=", "order_id=nonsense", "k1=", "k1=x&remoteid=y", "private=2", "order_id=%00"]
)
def test_lu04_every_failure_is_a_200_with_a_reason(api_at: Callable[[str], Api], mount: str, query: str) -> None:
    answer = api_at(mount).get(f"{PATH}?{query}")
    assert answer.status_code == 200
    assert failed(answer.said)


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("raw", [b"{", b"[]", b"\xff", b'"x"', b"[" * 9000, b'{"a":1,"a":2}', b"x" * 70_000])
def test_lu04_a_bad_body_is_a_200_with_a_reason(api_at: Callable[[str], Api], mount: str, raw: bytes) -> None:
    answer = api_at(mount).send(PATH, raw)
    assert answer.status_code == 200
    assert failed(answer.said)


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_lu04_another_method_is_a_200_with_a_reason(api_at: Callable[[str], Api], mount: str, method: str) -> None:
    answer = api_at(mount).client.generic(method, mount + PATH)
    assert answer.status_code == 200
    assert failed(answer.json())


@pytest.mark.parametrize("mount", MOUNTS)
def test_lu04_too_many_requests_are_a_200_with_a_reason(
    api_at: Callable[[str], Api], mount: str, settings: Any
) -> None:
    settings.READ_RATE = settings.CLAIM_RATE = "1/min"
    api, order = api_at(mount), paid()
    assert ask(api, order_id=order.pk)["status"] == "OK"
    assert ask(api, k1=order.pk, remoteid=pubkey(5)) == OK
    for query in ({"order_id": str(order.pk)}, {"k1": str(order.pk), "remoteid": pubkey(5)}):
        answer = api.get(PATH, query)
        assert answer.status_code == 200
        assert failed(answer.said)
        assert "Retry-After" in answer


def test_lu04_a_defect_of_ours_is_a_200_with_a_reason(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("orders.api.views.LnurlViewSet._offer", broken)
    api.client.raise_request_exception = False
    answer = api.get(PATH, {"order_id": str(paid().pk)})
    assert answer.status_code == 200
    assert failed(answer.said)


def test_lu04_a_wallet_in_a_browser_may_read_it(api: Api) -> None:
    assert (
        api.get(PATH, {"order_id": str(paid().pk)}, Origin="https://wallet.example")["Access-Control-Allow-Origin"]
        == "*"
    )


@pytest.mark.parametrize("name", ["remoteid", "remote_id"])
@pytest.mark.parametrize("way", ["get", "post"])
def test_lu05_the_callback_claims_by_either_name_and_method(api: Api, name: str, way: str) -> None:
    order = paid()
    query = {"k1": str(order.pk), name: pubkey(5), "private": "0"}
    said = api.get(PATH, query).said if way == "get" else api.post(PATH, query).said
    assert said == OK
    order.refresh_from_db()
    assert (order.state, order.node_pubkey, order.announced_by_claim) == ("uri_set", pubkey(5), True)


@pytest.mark.parametrize(("said", "announced"), [("1", False), ("0", True), ("true", False), ("false", True)])
def test_lu05_private_is_read_as_text(api: Api, said: str, announced: bool) -> None:
    order = paid()
    assert ask(api, k1=order.pk, remoteid=pubkey(5), private=said) == OK
    order.refresh_from_db()
    assert order.announced_by_claim is announced


@pytest.mark.parametrize(("said", "announced"), [(True, False), (False, True), (1, False), (0, True)])
def test_lu05_private_is_read_as_json(api: Api, said: Any, announced: bool) -> None:
    order = paid()
    assert api.post(PATH, {"k1": str(order.pk), "remoteid": pubkey(5), "private": said}).said == OK
    order.refresh_from_db()
    assert order.announced_by_claim is announced


def test_lu05_two_names_for_one_node_are_fine(api: Api) -> None:
    order = paid()
    assert ask(api, k1=order.pk, remoteid=pubkey(5), remote_id=f"{pubkey(5)}@203.0.113.9:9735") == OK
    order.refresh_from_db()
    assert order.node_host == "203.0.113.9:9735"


def test_lu05_two_different_nodes_are_refused(api: Api) -> None:
    order = paid()
    assert failed(ask(api, k1=order.pk, remoteid=pubkey(5), remote_id=pubkey(6)))
    order.refresh_from_db()
    assert order.state == "paid"


def test_lu05_a_callback_without_a_node_is_refused(api: Api) -> None:
    assert "remoteid" in ask(api, k1=paid().pk)["reason"]


@pytest.mark.parametrize("way", ["get", "post"])
def test_lu06_cancel_takes_the_claim_back_and_the_order_stays_paid(api: Api, way: str) -> None:
    order = paid()
    ask(api, k1=order.pk, remoteid=pubkey(5))
    query = {"k1": str(order.pk), "remoteid": pubkey(5), "cancel": "1", "order_token": keys.order_token(order.pk)}
    assert (api.get(PATH, query) if way == "get" else api.post(PATH, query)).said == OK
    order.refresh_from_db()
    assert (order.state, order.node_pubkey) == ("paid", "")
    assert order.hold_invoice.state == "held"
    assert ask(api, k1=order.pk, remoteid=pubkey(6)) == OK


def test_lu06_by_k1_alone_no_claim_is_taken_back_before_its_node_has_failed(api: Api) -> None:
    order = OrderFactory(uri_set=True)
    refused = ask(api, k1=order.pk, cancel="1")
    assert failed(refused) and "order_token" in refused["reason"]
    order.refresh_from_db()
    assert order.state == "uri_set"
    OpeningFactory(order=order, failed=True)
    assert ask(api, k1=order.pk, cancel="1") == OK
    order.refresh_from_db()
    assert order.state == "paid"


def test_lu06_cancel_before_any_claim_changes_nothing(api: Api) -> None:
    order = paid()
    assert ask(api, k1=order.pk, cancel="1") == OK
    order.refresh_from_db()
    assert order.state == "paid"


def test_lu06_once_an_opening_has_begun_there_is_nothing_to_cancel(api: Api) -> None:
    order = OrderFactory(uri_set=True)
    OpeningFactory(order=order, negotiating=True)
    token = keys.order_token(order.pk)
    assert failed(ask(api, k1=order.pk, remoteid=order.node_pubkey, cancel="1", order_token=token))
    order.refresh_from_db()
    assert order.state == "uri_set"


def test_lu06_cancel_0_cancels_nothing(api: Api) -> None:
    order = paid()
    assert ask(api, k1=order.pk, remoteid=pubkey(5), cancel="0") == OK
    order.refresh_from_db()
    assert order.state == "uri_set"


@pytest.mark.parametrize("uri", ["{key}", "{key}@203.0.113.9:9735", "{key}@[2001:db8::1]:9735"])
def test_lu07_a_node_is_named_by_its_key_or_its_address(api: Api, uri: str) -> None:
    order = paid()
    assert ask(api, k1=order.pk, remoteid=uri.format(key=pubkey(5))) == OK
    order.refresh_from_db()
    assert order.node_pubkey == pubkey(5)


@pytest.mark.parametrize("uri", ["", "02ab", "04" + "ab" * 32, "02" + "ff" * 32, "x" * 1000, "@host:1", "\x00"])
def test_lu07_what_is_no_node_is_refused(api: Api, uri: str) -> None:
    order = paid()
    assert failed(ask(api, k1=order.pk, remoteid=uri))
    order.refresh_from_db()
    assert order.state == "paid"


def test_lu08_k1_is_the_order_id_and_of_no_other_order(api: Api) -> None:
    order = paid()
    assert ask(api, order_id=order.pk)["k1"] == str(order.pk)
    assert failed(ask(api, k1=uuid4(), remoteid=pubkey(5)))
    assert failed(ask(api, k1=order.pk, order_id=uuid4(), remoteid=pubkey(5)))
    assert ask(api, k1=order.pk, order_id=order.pk, remoteid=pubkey(5)) == OK


def test_lu09_the_callback_has_no_query_of_its_own(api: Api) -> None:
    assert "?" not in ask(api, order_id=paid().pk)["callback"]


def test_lu10_a_node_that_is_not_connected_yet_is_taken(api: Api, node: Any) -> None:
    node.fails = ConnectionError("no call may be made here")
    assert ask(api, k1=paid().pk, remoteid=pubkey(5)) == OK


@pytest.mark.parametrize("trait", ["uri_set", "opening", "open", "closing", "closed"])
def test_lu11_the_same_node_again_is_ok_in_every_later_state(api: Api, trait: str) -> None:
    order = OrderFactory(**{trait: True})
    assert ask(api, k1=order.pk, remoteid=order.node_pubkey) == OK


@pytest.mark.parametrize("trait", ["uri_set", "opening", "open", "closing", "closed"])
def test_lu11_another_node_after_the_claim_is_refused(api: Api, trait: str) -> None:
    order = OrderFactory(**{trait: True})
    before = order.node_pubkey
    assert failed(ask(api, k1=order.pk, remoteid=pubkey(999)))
    order.refresh_from_db()
    assert (order.node_pubkey, order.state) == (before, trait)


@pytest.mark.parametrize("way", ["the token", "a failed attempt"])
def test_lu11_another_node_takes_the_place_by(api: Api, way: str) -> None:
    order = OrderFactory(uri_set=True)
    token = {"order_token": keys.order_token(order.pk)} if way == "the token" else {}
    if not token:
        OpeningFactory(order=order, failed=True)
    assert ask(api, k1=order.pk, remoteid=pubkey(999), **token) == OK
    order.refresh_from_db()
    assert order.node_pubkey == pubkey(999)


@pytest.mark.parametrize("trait", [None, "expired", "rejected", "refunded"])
def test_lu12_an_unpaid_or_ended_order_has_a_reason_at_both_steps(api: Api, trait: str | None) -> None:
    order = OrderFactory(**({trait: True} if trait else {}))
    assert failed(ask(api, order_id=order.pk))
    assert failed(ask(api, k1=order.pk, remoteid=pubkey(5)))


@pytest.mark.parametrize("trait", ["opening", "open", "closing", "closed"])
def test_lu12_a_delivered_order_is_not_offered_again(api: Api, trait: str) -> None:
    assert failed(ask(api, order_id=OrderFactory(**{trait: True}).pk))


def test_lu13_success_has_no_reason_and_nothing_that_a_strict_wallet_rejects(api: Api) -> None:
    order = paid()
    assert set(ask(api, order_id=order.pk)) == {"uri", "callback", "k1", "tag", "status"}
    assert ask(api, k1=order.pk, remoteid=pubkey(5)) == OK


@pytest.mark.parametrize(
    ("by_purchase", "by_service", "private"),
    [(None, True, False), (None, False, True), (False, True, True), (True, False, False)],
)
def test_lu14_without_private_the_purchase_decides_and_then_the_service(
    api: Api, by_purchase: bool | None, by_service: bool, private: bool
) -> None:
    Service.objects.update(announced_by_default=by_service)
    order = paid(announced_by_purchase=by_purchase)
    assert ask(api, k1=order.pk, remoteid=pubkey(5)) == OK
    said = api.get("/channel/order", {"order_id": str(order.pk)}).said
    assert said["private_channel"] is private


def test_lu14_a_service_is_unannounced_unless_staff_say_otherwise(api: Api) -> None:
    order = paid()
    assert ask(api, k1=order.pk, remoteid=pubkey(5)) == OK
    assert api.get("/channel/order", {"order_id": str(order.pk)}).said["private_channel"] is True
    assert Service().announced_by_default is Service.objects.get().announced_by_default is False


def test_lu15_a_repeated_callback_moves_the_order_once(api: Api) -> None:
    order = paid()
    for _ in range(3):
        assert ask(api, k1=order.pk, remoteid=pubkey(5)) == OK
    assert order.events.filter(to_state="uri_set").count() == 1
