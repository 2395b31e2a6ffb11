"""GET /node/info."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.errors import NodeUnavailable
from orders.models import NodeSnapshot, Service
from tests.factories import OrderFactory, ServiceFactory
from tests.fakes import OUR_KEY, FakeNode
from tests.integration.conftest import Api

NUMBERS = {
    "CREATED": 0,
    "PAID": 100,
    "REFUNDED": 150,
    "URI_SET": 200,
    "OPENING": 300,
    "CLOSING": 350,
    "GIVE_UP": 400,
    "EXPIRED": 410,
    "REJECTED": 450,
    "CLOSED": 450,
    "OPEN": 500,
}


def test_every_key_that_clients_of_the_first_server_read_is_there(api: Api) -> None:
    said = api.get("/node/info").said
    assert said == {
        "node_info": {
            "alias": "our node",
            "active_channels_count": 3,
            "uris": [f"{OUR_KEY}@203.0.113.5:9735"],
            "public_key": OUR_KEY,
        },
        "capacity": {"local_balance": 5_000_000, "remote_balance": 7_000_000},
        "services": [
            {
                "available": True,
                "description": "Channel Liquidity",
                "product_id": str(Service.objects.get().pk),
                "min_channel_size": 100_000,
                "max_channel_size": 16_000_000,
                "max_channel_size_now": 16_000_000,
                "min_chan_expiry": 1,
                "max_chan_expiry": 12,
                "max_node_usd_capacity": 9_999_999,
                "order_states": NUMBERS,
                "max_chan_receiving": "16000000",
                "max_chan_receiving_usd": "9999999",
                "max_chan_spending": "8000000",
                "max_chan_spending_usd": 9_999_999,
            }
        ],
        "paused": "",
    }


def test_d8_all_eleven_states_are_published_with_their_numbers(api: Api) -> None:
    assert api.get("/node/info").said["services"][0]["order_states"] == NUMBERS


def test_no_value_is_null(api: Api) -> None:
    def nulls(value: Any) -> bool:
        if isinstance(value, dict):
            return any(map(nulls, value.values()))
        return any(map(nulls, value)) if isinstance(value, list) else value is None

    assert not nulls(api.get("/node/info").said)


def test_the_product_id_can_be_bought(api: Api) -> None:
    product_id = api.get("/node/info").said["services"][0]["product_id"]
    assert api.buy(product_id=product_id).status_code == 200


def test_everything_on_sale_is_listed_and_nothing_else(api: Api) -> None:
    ServiceFactory(description="second", position=1)
    ServiceFactory(description="withdrawn", on_sale=False)
    described = [service["description"] for service in api.get("/node/info").said["services"]]
    assert described == ["Channel Liquidity", "second"]


def test_it_answers_while_the_node_is_down(api: Api, node: FakeNode) -> None:
    node.fails = NodeUnavailable()
    NodeSnapshot.objects.update(at=timezone.now() - timedelta(days=1))
    assert api.get("/node/info").status_code == 200
    assert node.calls == []


def test_a_node_never_seen_is_looked_at(api: Api, node: FakeNode) -> None:
    NodeSnapshot.objects.all().delete()
    assert api.get("/node/info").said["node_info"]["alias"] == "fake"


def test_a_node_never_seen_that_is_down_means_come_back_later(api: Api, node: FakeNode) -> None:
    NodeSnapshot.objects.all().delete()
    node.fails = NodeUnavailable("secret detail")
    answer = api.get("/node/info")
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert "secret" not in answer.content.decode()


def test_nothing_is_available_without_coins_for_the_smallest_channel(api: Api) -> None:
    NodeSnapshot.objects.update(spendable_sat=105_000, required_reserve_sat=10_000)
    assert api.get("/node/info").said["services"][0]["available"] is False


def on_sale(api: Api) -> tuple[bool, int]:
    service = api.get("/node/info").said["services"][0]
    return service["available"], service["max_channel_size_now"]


def test_what_is_promised_for_good_is_not_available(api: Api) -> None:
    NodeSnapshot.objects.update(spendable_sat=1_200_000, required_reserve_sat=10_000)
    assert on_sale(api) == (True, 1_187_780)
    OrderFactory(lsp_balance_sat=1_000_000, client_balance_sat=0, paid_onchain=True)
    assert on_sale(api) == (True, 185_560)
    OrderFactory(lsp_balance_sat=100_000, client_balance_sat=0, opening=True)
    OrderFactory(lsp_balance_sat=100_000, client_balance_sat=0, uri_set=True, reservation__firmness="reached")
    assert on_sale(api) == (False, 0)


def test_what_gives_way_to_who_pays_is_available_and_can_be_bought(api: Api) -> None:
    NodeSnapshot.objects.update(spendable_sat=1_200_000, required_reserve_sat=10_000)
    OrderFactory(lsp_balance_sat=1_100_000)
    OrderFactory(lsp_balance_sat=1_100_000, client_balance_sat=0, paid_lightning=True)
    _, most = on_sale(api)
    assert api.buy(local_balance=most, remote_balance=0).status_code == 200
    assert api.buy(local_balance=most + 1, remote_balance=0).status_code == 503


@pytest.mark.parametrize("configured", [(f"{OUR_KEY}@lsp.example:9735",), ()])
def test_configured_addresses_stand_for_the_nodes_own(api: Api, settings: Any, configured: tuple[str, ...]) -> None:
    settings.NODE_URIS = configured
    uris = api.get("/node/info").said["node_info"]["uris"]
    assert uris == list(configured) or uris == [f"{OUR_KEY}@203.0.113.5:9735"]
    assert bool(configured) is ("lsp.example" in uris[0])


def test_the_address_that_most_can_dial_comes_first(api: Api) -> None:
    hosts = ["aaaa.onion:9735", "[2001:db8::5]:9735", "203.0.113.5:9735"]
    NodeSnapshot.objects.update(uris=[f"{OUR_KEY}@{host}" for host in hosts])
    uris = api.get("/node/info").said["node_info"]["uris"]
    assert uris == [f"{OUR_KEY}@{host}" for host in reversed(hosts)]
