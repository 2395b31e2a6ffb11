"""POST /channel/estimate: the price of an order that nobody has made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from lightning.errors import NodeUnavailable
from orders import pricing
from orders.models import ChannelOrder, NodeSnapshot, RequestCount, Reservation, Service, Switch, SwitchName
from tests.factories import OrderFactory, pubkey
from tests.fakes import OUR_KEY, FakeNode, regtest_address
from tests.integration.conftest import ADDRESS, BODY, KEY, Api

#: The sizes and terms that a wallet would compare.
SOLD: list[dict[str, Any]] = [
    {},
    {"local_balance": 100_000, "remote_balance": 0, "channel_expiry": 1},
    {"local_balance": 15_000_000, "remote_balance": 1_000_000, "channel_expiry": 12},
]


def estimate(api: Api, **changes: Any) -> Any:
    return api.post("/channel/estimate", {name: v for name, v in {**BODY, **changes}.items() if v is not ...})


@pytest.mark.parametrize("asked", SOLD)
def test_the_price_is_the_one_that_is_asked_of_who_buys_and_its_parts_add_up(api: Api, asked: dict[str, Any]) -> None:
    said = estimate(api, **asked).said
    assert said["price"] == sum(said["price_parts"].values())
    assert said["total_amount"] == said["price"] + {**BODY, **asked}["remote_balance"]
    quote = api.buy(**asked).said
    assert (said["price"], said["total_amount"]) == (quote["price"], quote["total_amount"])
    order = ChannelOrder.objects.get()
    parts = said["price_parts"]
    assert (parts["base_fee"], parts["lease_fee"], parts["rest_to_minimum"]) == (
        *(order.base_fee_sat, order.lease_fee_sat, order.floor_fee_sat),
    )
    assert (parts["opening_fee"], parts["closing_fee"]) == (order.open_fee_sat, order.close_fee_sat)


def test_it_says_what_the_chain_part_is_reckoned_with(api: Api) -> None:
    said = estimate(api).said
    chain, parts = said["chain"], said["price_parts"]
    assert (chain["sat_per_kw"], chain["sat_per_vbyte"]) == (2500, 10)
    assert parts["opening_fee"] == pricing.chain_fee_sat(chain["opening_vbytes"], chain["sat_per_kw"])
    assert parts["closing_fee"] == pricing.chain_fee_sat(chain["closing_vbytes"], chain["sat_per_kw"])


def test_nothing_is_made_and_no_node_is_asked(api: Api, node: FakeNode) -> None:
    node.fails = NodeUnavailable("must not be asked")
    said = estimate(api, node_uri=f"{pubkey(3)}@203.0.113.80:9735", refund_onchain_address=regtest_address(5)).said
    assert said["in_stock"] is True and said["why_not"] is None
    assert not node.calls
    assert not ChannelOrder.objects.exists() and not Reservation.objects.exists()


def test_an_idempotency_key_is_neither_asked_for_nor_used_up(api: Api) -> None:
    answer = api.post("/channel/estimate", BODY, **{"Idempotency-Key": KEY})
    assert answer.status_code == 200
    assert api.buy({"Idempotency-Key": KEY}, channel_expiry=5).status_code == 200


def test_it_is_counted_with_the_reads_and_uses_up_no_purchase(api: Api, settings: Any) -> None:
    settings.READ_RATE, settings.BUY_RATE = "2/hour", "1/hour"
    assert [estimate(api).status_code for _ in range(3)] == [200, 200, 429]
    assert api.buy().status_code == 200
    assert RequestCount.objects.count() == 2


def test_it_asks_the_database_as_little_for_ten_thousand_orders_as_for_none(api: Api) -> None:
    estimate(api)
    with CaptureQueriesContext(
        connection,
    ) as few:
        estimate(api)
    OrderFactory.create_batch(20)
    with CaptureQueriesContext(connection) as many:
        estimate(api)
    assert len(many) == len(few) <= 6


class TestWhen:
    def test_the_numbers_are_as_old_as_our_last_look_at_the_node(self, api: Api, settings: Any) -> None:
        seen: NodeSnapshot = NodeSnapshot.objects.get()
        said = estimate(api).said
        assert said["seen_at"] == int(seen.at.timestamp() * 1000)
        assert said["valid_until"] - said["seen_at"] == settings.SNAPSHOT_MAX_AGE_SECONDS * 1000

    def test_a_node_that_was_not_seen_lately_sells_nothing(self, api: Api) -> None:
        NodeSnapshot.objects.update(at=timezone.now() - timedelta(hours=1))
        said = estimate(api).said
        assert said["in_stock"] is False and said["why_not"]["code"] == "not_available"
        assert said["valid_until"] < timezone.now().timestamp() * 1000
        assert said["price"] > 0

    def test_before_the_node_was_ever_seen_there_is_no_price(self, api: Api) -> None:
        NodeSnapshot.objects.all().delete()
        answer = estimate(api)
        assert (answer.status_code, answer.said["code"]) == (503, "not_available")
        assert int(answer["Retry-After"]) > 0


class TestInStock:
    def test_what_our_coins_do_not_pay_for_has_a_price_and_says_which_would_do(self, api: Api) -> None:
        NodeSnapshot.objects.update(spendable_sat=800_000)
        said = estimate(api).said
        assert said["in_stock"] is False and said["price"] > 0
        assert said["why_not"]["field"] == "local_balance" and "satoshis" in said["why_not"]["error"]

    def test_while_sales_are_paused_buyers_read_why(self, api: Api) -> None:
        Switch.objects.create(name=SwitchName.SALES, on=False, reason="we move house", at=timezone.now())
        said = estimate(api).said
        assert said["in_stock"] is False and "we move house" in said["why_not"]["error"]

    def test_who_has_too_many_unpaid_orders_would_not_be_sold_one(self, api: Api, settings: Any) -> None:
        settings.UNPAID_ORDERS_PER_CLIENT = 1
        api.buy()
        assert estimate(api).said["why_not"]["code"] == "too_many_unpaid_orders" == api.buy().said["code"]

    def test_a_node_that_is_catching_up_sells_nothing(self, api: Api) -> None:
        NodeSnapshot.objects.update(synced_to_chain=False)
        assert estimate(api).said["in_stock"] is False

    def test_while_who_has_paid_waits_for_us_nothing_is_sold(self, api: Api) -> None:
        NodeSnapshot.objects.update(behind_until=timezone.now() + timedelta(seconds=2))
        assert estimate(api).said["in_stock"] is False


class TestRefusedAsAPurchaseIs:
    @pytest.mark.parametrize(
        ("asked", "field"),
        [
            ({"channel_expiry": 53}, "channel_expiry"),
            ({"local_balance": 10, "remote_balance": 0}, "local_balance"),
            ({"remote_balance": 1_000_000}, "remote_balance"),
            ({"product_id": "00000000-0000-4000-8000-000000000000"}, "product_id"),
            ({"node_uri": OUR_KEY}, "node_uri"),
            ({"local_balance": "1"}, "local_balance"),
            ({"channel_expiry": ...}, "channel_expiry"),
        ],
    )
    def test_what_could_never_be_bought_is_refused_in_the_same_words(
        self, api: Api, asked: dict[str, Any], field: str
    ) -> None:
        answer, bought = estimate(api, **asked), api.buy(**asked)
        assert (answer.status_code, answer.said) == (bought.status_code, bought.said)
        assert answer.status_code == 400 and answer.said["field"] == field

    def test_without_a_service_there_is_nothing_to_price(self, api: Api) -> None:
        Service.objects.update(on_sale=False)
        assert estimate(api).status_code == 503

    def test_under_the_first_servers_mount_too(self, api: Api) -> None:
        answer = Api("/v1").post("/channel/estimate", {**BODY, "channel_expiry": 0})
        assert (answer.status_code, answer.said["code"]) == (200, "invalid")


def test_a_browser_may_ask(api: Api) -> None:
    api.client.defaults["REMOTE_ADDR"] = ADDRESS
    answer = api.post("/channel/estimate", BODY, Origin="https://wallet.example")
    assert answer["Access-Control-Allow-Origin"] == "*"
