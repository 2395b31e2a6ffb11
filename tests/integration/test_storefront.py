"""GET /.well-known/lsp.json: what a wallet compares LSPs by."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from lightning.errors import NodeUnavailable
from lsp_site import well_known
from orders import storefront
from orders.models import Heartbeat, NodeSnapshot, Service, Switch, SwitchName, UptimeDay
from tests.factories import OrderFactory, ServiceFactory
from tests.fakes import OUR_KEY, FakeNode
from tests.integration.conftest import Api

PATH = "/.well-known/lsp.json"


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> Iterator[None]:
    well_known.forget()
    yield
    well_known.forget()


def told() -> dict[str, Any]:
    well_known.forget()
    answer = Client().get(PATH)
    assert answer.status_code == 200
    said: dict[str, Any] = answer.json()
    return said


def test_it_says_who_we_are_and_where_each_protocol_is_spoken(api: Api, settings: Any) -> None:
    settings.PUBLIC_URL = "https://lsp.example"
    said = told()
    assert said["node"]["public_key"] == OUR_KEY
    assert said["node"]["uris"] == [f"{OUR_KEY}@203.0.113.5:9735"]
    by_name = {protocol["name"]: protocol for protocol in said["protocols"]}
    assert "https://lsp.example/v1" in by_name["lsp-channel-request"]["urls"]
    assert by_name["lnurl-channel"]["urls"] == ["https://lsp.example/lnurl/channel"]
    assert "https://lsp.example/api/lsps1/v1" in by_name["lsps1"]["urls"]


@pytest.mark.parametrize(
    ("is_on", "detail", "seconds_ago", "is_told"),
    [
        (True, "node=up peers=heard", 1, True),
        (False, "node=up peers=heard", 1, False),
        (True, "node=up peers=unheard", 1, False),
        (True, "node=up peers=heard", 3_600, False),
        (True, None, 0, False),
    ],
)
def test_lsps1_over_lightning_is_told_where_somebody_hears_peers(
    api: Api, settings: Any, is_on: bool, detail: str | None, seconds_ago: int, is_told: bool
) -> None:
    settings.LSPS1_OVER_LIGHTNING = is_on
    if detail is not None:
        at = timezone.now() - timedelta(seconds=seconds_ago)
        Heartbeat.objects.create(name="streams", at=at, detail=detail)
    said = told()
    found = [protocol["urls"] for protocol in said["protocols"] if protocol["name"] == "lsps1-over-lightning"]
    assert found == ([said["node"]["uris"]] if is_told else [])


def test_the_prices_are_those_of_who_buys(api: Api) -> None:
    Service.objects.update(min_expiry_blocks=1_008, max_expiry_blocks=1_008)
    [offer] = told()["offers"]
    for price in offer["prices"]:
        quote = api.buy(local_balance=price["lsp_balance_sat"], remote_balance=0, channel_expiry=1).said
        assert price["channel_expiry_blocks"] == 1_008 and price["in_stock"]
        assert price["fee_total_sat"] == quote["price"] > price["chain_fee_sat"] > 0


def test_sizes_and_terms_that_are_not_sold_are_told_as_the_nearest_that_are(api: Api) -> None:
    Service.objects.update(max_channel_sat=2_000_000, max_expiry_blocks=2_016)
    [offer] = told()["offers"]
    assert [price["lsp_balance_sat"] for price in offer["prices"]] == [1_000_000, 2_000_000]
    assert {price["channel_expiry_blocks"] for price in offer["prices"]} == {2_016}


def test_what_our_coins_do_not_pay_for_is_not_in_stock(api: Api) -> None:
    NodeSnapshot.objects.update(spendable_sat=2_000_000)
    [offer] = told()["offers"]
    assert [price["in_stock"] for price in offer["prices"]] == [True, False, False]
    assert 1_000_000 < offer["max_channel_now_sat"] < 2_000_000


def test_while_sales_are_paused_nothing_is_in_stock_and_it_says_why(api: Api) -> None:
    Switch.objects.create(name=SwitchName.SALES, on=False, reason="we move house", at=timezone.now())
    said = told()
    assert said["sales"] == {"open": False, "paused": "we move house"}
    assert not any(price["in_stock"] for offer in said["offers"] for price in offer["prices"])


def test_a_service_that_is_not_on_sale_is_not_offered(api: Api, settings: Any) -> None:
    settings.ONCHAIN_ENABLED = False
    ServiceFactory(description="secret", on_sale=False)
    [offer] = told()["offers"]
    assert offer["description"] != "secret" and offer["payments"] == ["lightning"]


class TestLast30Days:
    def test_of_a_shop_that_has_just_begun_nothing_is_claimed(self, api: Api) -> None:
        OrderFactory.create_batch(storefront.LEAST_ORDERS - 1, open=True)
        assert told()["last_30_days"] == {
            "uptime_percent": {"node": None, "orders": None},
            "success_percent": None,
            "payment_to_channel_p50_seconds": None,
        }

    def test_orders_that_named_a_node_and_got_no_channel_count_against_us(self, api: Api) -> None:
        OrderFactory.create_batch(11, open=True)
        OrderFactory.create_batch(2, give_up=True)
        OrderFactory()  # never paid
        OrderFactory(expired=True)
        OrderFactory(paid_lightning=True)  # not over
        OrderFactory(refunded=True)  # no node was named
        said = told()["last_30_days"]
        assert said["success_percent"] == 84.61  # 11 of 13, rounded down
        assert said["payment_to_channel_p50_seconds"] is not None

    def test_uptime_is_of_the_time_that_could_have_been(self, api: Api) -> None:
        today = timezone.now().date()
        for days, name, up in ((1, "node", 86_400), (2, "node", 43_200), (1, "reconcile", 86_399), (40, "node", 0)):
            day = today - timedelta(days=days)
            UptimeDay.objects.create(day=day, name=name, up_seconds=up, counted_seconds=86_400)
        assert told()["last_30_days"]["uptime_percent"] == {"node": 75.0, "orders": 99.99}

    def test_how_many_orders_there_were_is_told_to_nobody(self, api: Api) -> None:
        OrderFactory.create_batch(17, open=True)
        assert "17" not in str({**told(), "made_at": "", "chain": ""}["last_30_days"])


def test_it_asks_no_node(api: Api, node: FakeNode) -> None:
    node.fails = NodeUnavailable("must not be asked")
    told()
    assert not node.calls


def test_more_services_and_orders_make_no_more_statements(api: Api) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as seen:
            told()
        return len(seen)

    few = statements()
    ServiceFactory.create_batch(5)
    OrderFactory.create_batch(20, open=True)
    assert statements() == few <= 10


def test_it_is_made_once_a_minute_however_many_ask(api: Api) -> None:
    told()
    with CaptureQueriesContext(connection) as seen:
        answers = [Client().get(PATH) for _ in range(5)]
    assert not len(seen)
    assert len({answer.content for answer in answers}) == 1
    assert answers[0]["Cache-Control"] == "public, max-age=60"


def test_who_comes_while_it_is_made_anew_has_the_old_one_and_waits_for_nobody(api: Api) -> None:
    old = told()
    well_known._kept.until = 0.0
    with well_known._kept.making:
        assert Client().get(PATH).json() == old


def test_a_wallet_in_a_browser_may_read_it(api: Api) -> None:
    answer = Client().get(PATH, headers={"Origin": "https://wallet.example"})
    assert answer["Access-Control-Allow-Origin"] == "*"


class TestAway:
    def test_before_the_node_was_ever_seen_there_is_nothing_to_tell(self, api: Api) -> None:
        NodeSnapshot.objects.all().delete()
        answer = Client().get(PATH)
        assert answer.status_code == 503 and answer.json()["code"] == "not_available"

    def test_without_the_database_it_is_a_503_and_the_next_one_is_made_anew(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(now: Any) -> Any:
            raise OperationalError("away")

        with monkeypatch.context() as patch:
            patch.setattr(storefront, "document", away)
            patch.setattr(well_known.connection, "close", lambda: None)
            answer = Client().get(PATH)
        assert (answer.status_code, answer["Retry-After"]) == (503, "10")
        assert told()["node"]["public_key"] == OUR_KEY

    def test_whom_the_first_one_keeps_waiting_for_long_is_told_to_come_again(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(well_known, "_WAIT_SECONDS", 0.01)
        held = threading.Lock()
        held.acquire()
        monkeypatch.setattr(well_known._kept, "making", held)
        assert Client().get(PATH).status_code == 503


def test_only_reading_is_allowed(api: Api) -> None:
    assert Client().post(PATH).status_code == 405
