"""POST /channel/buy."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from lightning.errors import NodeUnavailable, OutcomeUnknown
from orders import keys, pricing
from orders.models import ChannelOrder, IdempotencyKey, NodeSnapshot, Service
from orders.states import OrderState
from tests.factories import OrderFactory, pubkey
from tests.fakes import FakeNode, regtest_address
from tests.integration.conftest import ADDRESS, BODY, KEY, Api

QUOTE = {
    "order_id",
    "ln_invoice",
    "price",
    "total_amount",
    "btc_address",
    "lnurl_channel",
    "order_expiry",
    "order_token",
    "max_routing_fee_base_msat",
    "max_routing_fee_ppm",
    "warnings",
}
MAINNET_ADDRESS = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"


def nothing_is_left() -> bool:
    return not ChannelOrder.objects.exists() and not IdempotencyKey.objects.exists()


def test_a_quote_has_every_field_of_the_specification_and_those_that_clients_read(api: Api) -> None:
    answer = api.buy()
    assert answer.status_code == 200
    assert set(answer.said) == QUOTE
    order = ChannelOrder.objects.get()
    assert answer.said["order_id"] == str(order.pk)
    assert answer.said["ln_invoice"] == order.hold_invoice.payment_request
    assert answer.said["btc_address"] == order.deposit_address
    assert answer.said["total_amount"] == answer.said["price"] + 50_000
    assert answer.said["order_expiry"] == int(order.expires_at.timestamp() * 1000)
    assert answer.said["lnurl_channel"].startswith("lnurl1")


def test_the_order_id_is_a_random_uuid(api: Api) -> None:
    assert UUID(api.buy().said["order_id"]).version == 4


def test_the_words_of_the_first_servers_documents_are_read(api: Api) -> None:
    key = pubkey()
    answer = api.buy(
        local_balance=..., remote_balance=..., local_amount=800_000, remote_amount=1_000, node_id=f"{key}@127.0.0.1"
    )
    assert answer.status_code == 200
    order = ChannelOrder.objects.get()
    assert (order.lsp_balance_sat, order.client_balance_sat) == (800_000, 1_000)
    assert (order.node_pubkey, order.node_host) == (key, "127.0.0.1:9735")


def test_an_alias_that_says_otherwise_is_refused(api: Api) -> None:
    answer = api.buy(local_amount=999_999)
    assert (answer.status_code, answer.said["field"]) == (400, "local_balance")
    assert nothing_is_left()


def test_without_a_remote_balance_nothing_is_pushed(api: Api) -> None:
    assert api.buy(remote_balance=...).status_code == 200
    assert ChannelOrder.objects.get().client_balance_sat == 0


@pytest.mark.parametrize("said", [None, ""])
def test_who_names_no_product_gets_the_default_one(api: Api, said: Any) -> None:
    assert api.buy(product_id=said).status_code == 200
    assert ChannelOrder.objects.get().service == Service.objects.get()


def test_a_product_that_is_not_on_sale_is_refused(api: Api) -> None:
    answer = api.buy(product_id=str(UUID(int=5)))
    assert (answer.status_code, answer.said["field"]) == (400, "product_id")
    assert nothing_is_left()


def test_keys_that_are_not_known_are_ignored(api: Api) -> None:
    assert api.buy(voucher="x", channel={"deep": [1]}).status_code == 200


@pytest.mark.parametrize(("said", "announced"), [(True, False), (False, True), ("1", False), ("0", True), (None, None)])
def test_private_is_kept_with_the_order(api: Api, said: Any, announced: bool | None) -> None:
    assert api.buy(private=said).status_code == 200
    assert ChannelOrder.objects.get().announced_by_purchase is announced


def test_d14_the_advertised_minimum_is_enforced(api: Api) -> None:
    least = api.get("/node/info").said["services"][0]["min_channel_size"]
    assert api.buy(local_balance=least - 1, remote_balance=0).said["field"] == "local_balance"
    assert nothing_is_left()
    assert api.buy(local_balance=least, remote_balance=0).status_code == 200


def test_d9_a_channel_larger_than_our_coins_is_not_sold(api: Api, node: FakeNode) -> None:
    node.spendable_sat = 500_000
    NodeSnapshot.objects.update(spendable_sat=500_000)
    answer = api.buy()
    assert (answer.status_code, answer.said["code"]) == (503, "not_available")
    assert int(answer["Retry-After"]) > 0
    assert nothing_is_left()


@pytest.mark.parametrize(("missing_sat", "status"), [(0, 200), (1, 503)])
def test_d9_what_is_kept_back_is_taken_off_our_coins_to_the_satoshi(
    api: Api, node: FakeNode, settings: Any, missing_sat: int, status: int
) -> None:
    """The first server added its reserve, and compared the sum with a text."""
    settings.ONCHAIN_RESERVE_SAT, settings.UNPAID_SHARE_PERCENT = 300_000, 100
    capacity = BODY["local_balance"] + BODY["remote_balance"]
    open_fee = pricing.chain_fee_sat(pricing.OPEN_VBYTES, 2500)
    node.spendable_sat = capacity + open_fee + 300_000 + 10_000 - missing_sat  # 10,000: what LND keeps for anchors
    NodeSnapshot.objects.update(spendable_sat=node.spendable_sat)
    assert api.buy().status_code == status


class TestRefundAddress:
    def test_it_is_stored(self, api: Api) -> None:
        assert api.buy(refund_onchain_address=regtest_address(7)).status_code == 200
        assert ChannelOrder.objects.get().refund_address == regtest_address(7)

    @pytest.mark.parametrize("address", [MAINNET_ADDRESS, "nonsense", "bcrt1q", "1" * 100, "bcrt1q\x00", "ß" * 9])
    def test_one_that_we_could_not_pay_is_refused_before_any_payment(self, api: Api, address: str) -> None:
        answer = api.buy(refund_onchain_address=address)
        assert (answer.status_code, answer.said["field"]) == (400, "refund_onchain_address")
        assert nothing_is_left()


class TestToken:
    def test_it_is_not_in_the_order(self, api: Api) -> None:
        quote = api.buy().said
        assert quote["order_token"] not in api.get("/channel/order", {"order_id": quote["order_id"]}).content.decode()

    def test_it_belongs_to_one_order(self, api: Api) -> None:
        assert api.buy().said["order_token"] != api.buy().said["order_token"]


class TestIdempotency:
    def test_the_same_key_and_body_gets_the_same_answer(self, api: Api) -> None:
        first = api.buy({"Idempotency-Key": KEY})
        again = api.buy({"Idempotency-Key": KEY})
        assert first.status_code == 200
        assert again.said == first.said
        assert ChannelOrder.objects.count() == 1

    def test_the_same_meaning_in_other_words_is_the_same_request(self, api: Api) -> None:
        first = api.buy({"Idempotency-Key": KEY})
        again = api.buy({"Idempotency-Key": KEY}, local_balance=..., local_amount=1_000_000, trace_id="other")
        assert again.said == first.said

    def test_the_same_key_for_another_request_is_refused(self, api: Api) -> None:
        api.buy({"Idempotency-Key": KEY})
        answer = api.buy({"Idempotency-Key": KEY}, channel_expiry=7)
        assert (answer.status_code, answer.said["code"]) == (422, "idempotency_key_reused")
        assert ChannelOrder.objects.count() == 1

    @pytest.mark.parametrize("key", ["1", "my-order", "x" * 21])
    def test_found_b2_a_key_that_another_buyer_might_choose_too_is_refused_and_the_field_named(
        self, api: Api, key: str
    ) -> None:
        """Behind one address, as all are of an onion service, the second would get the first's order and token."""
        answer = api.buy({"Idempotency-Key": key})
        assert (answer.status_code, answer.said["field"]) == (400, "Idempotency-Key")
        assert "22" in answer.said["error"]
        assert nothing_is_left()

    @pytest.mark.parametrize(
        "key",
        ["x" * 22, str(uuid4()), uuid4().hex, b64encode(uuid4().bytes).decode()],
        ids=["one letter", "a uuid", "its digits", "its bytes"],
    )
    def test_found_b2_a_key_as_random_as_a_uuid_is_taken(self, api: Api, key: str) -> None:
        assert api.buy({"Idempotency-Key": key}).status_code == 200

    def test_found_b2_the_key_proves_who_was_first_from_whatever_address(self, api: Api) -> None:
        first = api.buy({"Idempotency-Key": KEY})
        api.client.defaults["REMOTE_ADDR"] = "198.51.100.9"
        again, other = api.buy({"Idempotency-Key": KEY}), api.buy({"Idempotency-Key": KEY}, channel_expiry=7)
        assert again.said == first.said and "order_token" in again.said
        assert (other.status_code, other.said["code"]) == (422, "idempotency_key_reused")
        assert ChannelOrder.objects.count() == 1

    def test_found_b2_a_row_that_counted_for_its_sender_is_nobodys_first_request(self, api: Api) -> None:
        """Rows of the day before the upgrade are hashes of the sender's address, hashed, and the key."""
        client = keys.client_hash(ADDRESS)
        for key in (KEY, f"{client}:{KEY}"):
            old = hashlib.sha256(f"{client}:{KEY}".encode()).hexdigest()
            IdempotencyKey.objects.get_or_create(
                key_hash=old, defaults={"body_hash": "another body", "created_at": timezone.now()}
            )
            assert api.buy({"Idempotency-Key": key}).status_code == 200

    @pytest.mark.parametrize("key", ["", "two words of some length and more", "x" * 256, "ümlaut" * 5, "\t"])
    def test_a_malformed_key_is_refused(self, api: Api, key: str) -> None:
        answer = api.buy({"Idempotency-Key": key})
        assert (answer.status_code, answer.said["field"]) == (400, "Idempotency-Key")
        assert nothing_is_left()

    def test_the_longest_key_is_taken(self, api: Api) -> None:
        assert api.buy({"Idempotency-Key": "~" * 255}).status_code == 200

    def test_a_refused_request_leaves_no_key(self, api: Api) -> None:
        assert api.buy({"Idempotency-Key": KEY}, channel_expiry=500).status_code == 400
        assert nothing_is_left()
        assert api.buy({"Idempotency-Key": KEY}).status_code == 200

    def test_while_the_first_is_in_flight_the_second_is_told_to_wait(self, api: Api, node: FakeNode) -> None:
        answers = []

        def meanwhile(call: str) -> None:
            if call == "add_hold_invoice" and not answers:
                answers.append(Api().buy({"Idempotency-Key": KEY}))

        node.on_call = meanwhile
        assert api.buy({"Idempotency-Key": KEY}).status_code == 200
        assert (answers[0].status_code, answers[0].said["code"]) == (409, "idempotency_key_in_flight")
        assert answers[0]["Retry-After"] == "1"
        assert ChannelOrder.objects.count() == 1


class TestNode:
    @pytest.mark.parametrize("error", [NodeUnavailable("secret detail"), OutcomeUnknown("secret detail")])
    @pytest.mark.parametrize("call", ["add_hold_invoice", "new_address"])
    def test_without_an_answer_nothing_is_sold(self, api: Api, node: FakeNode, call: str, error: Exception) -> None:
        node.fails_at[call] = error
        answer = api.buy({"Idempotency-Key": KEY})
        assert answer.status_code == 503
        assert int(answer["Retry-After"]) > 0
        assert "secret" not in answer.content.decode()
        assert nothing_is_left()

    def test_one_that_is_down_when_it_is_first_needed_is_told_so(self, api: Api, node: FakeNode) -> None:
        node.fails = NodeUnavailable("secret detail")
        ChannelOrder.objects.all()
        answer = api.buy()
        assert answer.status_code == 503
        assert "secret" not in answer.content.decode()


def test_a_client_with_too_many_unpaid_orders_is_told_to_wait(api: Api, settings: Any) -> None:
    settings.UNPAID_ORDERS_PER_CLIENT = 1
    assert api.buy().status_code == 200
    answer = api.buy()
    assert (answer.status_code, answer.said["code"]) == (429, "too_many_unpaid_orders")
    assert "Retry-After" in answer
    assert ChannelOrder.objects.count() == 1


def test_buying_takes_few_statements(api: Api, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(17):  # one of them asks whether staff have paused the sales
        assert api.buy().status_code == 200


def test_an_order_is_created_and_not_more(api: Api) -> None:
    api.buy()
    order = ChannelOrder.objects.get()
    assert order.state == OrderState.CREATED
    left = order.expires_at - timezone.now()
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)  # so long its chain fees hold
    assert keys.payment_hash(order.pk) == order.hold_invoice.payment_hash


@pytest.mark.parametrize("trait", ["paid_lightning", "uri_set", "opening", "open", "closing", "closed", "give_up"])
@pytest.mark.parametrize("rail", ["lightning", "onchain"])
def test_the_factory_keeps_the_constraints(db: None, trait: str, rail: str) -> None:
    assert OrderFactory(**{trait: True, "counted_payment": rail}).pk
