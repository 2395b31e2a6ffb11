"""How often one client may ask, and who a client is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client, RequestFactory
from django.utils import timezone

from orders import limits
from orders.api.clients import client_address, tells_apart
from orders.models import ChannelOrder, RequestCount, Reservation
from tests.factories import OrderFactory, SnapshotFactory, pubkey
from tests.fakes import FakeNode
from tests.integration.conftest import ADDRESS, KEY, Api

KINDS: dict[str, Callable[[Api], Any]] = {
    "BUY_RATE": lambda api: api.buy(),
    "READ_RATE": lambda api: api.get("/node/info"),
    "CLAIM_RATE": lambda api: api.post("/channel/manual_finalise", {"order_id": str(uuid4()), "node_uri": pubkey(5)}),
}


@pytest.mark.parametrize("setting", KINDS)
def test_one_request_too_many_is_told_when_to_come_back(api: Api, settings: Any, setting: str) -> None:
    setattr(settings, setting, "2/hour")
    assert [KINDS[setting](api).status_code == 429 for _ in range(3)] == [False, False, True]
    answer = KINDS[setting](api)
    assert answer.said["code"] == "throttled"
    assert 3500 < int(answer["Retry-After"]) <= 3600


@pytest.mark.parametrize("setting", KINDS)
def test_each_kind_is_counted_by_itself(api: Api, settings: Any, setting: str) -> None:
    setattr(settings, setting, "1/hour")
    KINDS[setting](api)
    others = [KINDS[other](api).status_code for other in KINDS if other != setting]
    assert 429 not in others


def test_a_refused_purchase_leaves_nothing(api: Api, settings: Any) -> None:
    settings.BUY_RATE = "1/hour"
    api.buy()
    assert api.buy({"Idempotency-Key": KEY}).status_code == 429
    assert ChannelOrder.objects.count() == 1


def test_another_client_is_not_held_back(api: Api, settings: Any) -> None:
    settings.READ_RATE = "1/hour"
    api.get("/node/info")
    assert api.get("/node/info").status_code == 429
    api.client.defaults["REMOTE_ADDR"] = "198.51.100.9"
    assert api.get("/node/info").status_code == 200


def test_when_the_window_is_over_the_count_begins_anew(api: Api, settings: Any) -> None:
    settings.READ_RATE = "1/hour"
    api.get("/node/info")
    assert api.get("/node/info").status_code == 429
    RequestCount.objects.update(ends_at=timezone.now() - timedelta(seconds=1))
    assert api.get("/node/info").status_code == 200
    assert api.get("/node/info").status_code == 429


def test_a_forged_address_gains_nothing(api: Api, settings: Any) -> None:
    settings.READ_RATE, settings.TRUSTED_PROXIES = "1/hour", 0
    assert api.get("/node/info", None, **{"X-Forwarded-For": "1.1.1.1"}).status_code == 200
    assert api.get("/node/info", None, **{"X-Forwarded-For": "2.2.2.2"}).status_code == 429


def test_counts_that_are_over_are_removed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    over = timezone.now() - timedelta(seconds=1)
    RequestCount.objects.create(key_hash="old", count=1, ends_at=over)
    monkeypatch.setattr(limits, "CLEANING_IN", 1)
    api.get("/node/info")
    assert not RequestCount.objects.filter(key_hash="old").exists()


def test_no_address_is_stored(api: Api) -> None:
    api.get("/node/info")
    assert ADDRESS not in str(list(RequestCount.objects.values()))


@pytest.mark.parametrize(
    ("rate", "meaning"), [("60/min", (60, 60)), ("5/s", (5, 1)), ("7/hour", (7, 3600)), ("1/day", (1, 86400))]
)
def test_a_rate_is_read(rate: str, meaning: tuple[int, int]) -> None:
    assert limits.parsed_rate(rate) == meaning


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.1", "203.0.113.1"),
        # an IPv6 customer has a /64
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("", "unknown"),
        ("unix:", "unknown"),
    ],
)
def test_a_client_is_counted_by_what_it_has_at_least(address: str, client: str) -> None:
    assert client_address(RequestFactory().get("/", REMOTE_ADDR=address)) == client


def test_behind_a_proxy_each_client_is_counted_by_itself(api: Api, settings: Any) -> None:
    api.client.defaults["REMOTE_ADDR"] = "127.0.0.1"
    settings.READ_RATE, settings.TRUSTED_PROXIES = "1/hour", ("127.0.0.0/8",)
    asked = [
        "203.0.113.1",
        "203.0.113.2",
        "6.6.6.6, 203.0.113.1",
        "[2001:db8::1]:4711",
        "2001:db8::2",
        "::ffff:203.0.113.2",
    ]
    statuses = [api.get("/node/info", None, **{"X-Forwarded-For": forwarded}).status_code for forwarded in asked]
    assert statuses == [200, 200, 429, 200, 429, 429]


@pytest.mark.django_db(transaction=True)
def test_many_at_once_are_counted_one_by_one(node: FakeNode, settings: Any) -> None:
    settings.READ_RATE = "10/hour"
    SnapshotFactory()

    def ask() -> int:
        try:
            return Client(REMOTE_ADDR=ADDRESS).get("/node/info").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        statuses = [future.result() for future in [pool.submit(ask) for _ in range(25)]]
    assert sorted(statuses) == [200] * 10 + [429] * 15


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.3.2.1", "172.17.0.1", "192.168.1.9", "fd00::1", ""])
def test_found_b3_where_all_have_one_address_nobody_is_refused_for_what_others_left_unpaid(
    api: Api, settings: Any, address: str
) -> None:
    """The clients of an onion service, and of a proxy that nobody named."""
    settings.UNPAID_ORDERS_PER_CLIENT = 1
    api.client.defaults["REMOTE_ADDR"] = address
    assert [api.buy().status_code for _ in range(3)] == [200] * 3
    assert set(Reservation.objects.values_list("client_hash", flat=True)) == {""}


def test_found_b3_those_who_cannot_be_told_apart_may_ask_as_often_as_twenty(api: Api, settings: Any) -> None:
    settings.READ_RATE = "1/hour"
    api.client.defaults["REMOTE_ADDR"] = "127.0.0.1"
    assert [api.get("/node/info").status_code for _ in range(21)] == [*[200] * 20, 429]


@pytest.mark.parametrize("address", ["203.0.113.1", "8.8.8.8", "2001:db8:1:2:3::1", "2a00::1"])
def test_an_address_of_the_internet_tells_clients_apart(address: str) -> None:
    assert tells_apart(client_address(RequestFactory().get("/", REMOTE_ADDR=address)))


def test_above_the_bound_in_all_the_oldest_quote_of_who_has_the_most_ends(api: Api, settings: Any) -> None:
    settings.MOST_UNPAID_ORDERS = 3
    long_ago = timezone.now() - timedelta(minutes=20)
    for client in ("many", "many", "one"):
        OrderFactory(client_hash=client, created_at=long_ago)
        long_ago += timedelta(minutes=1)
    assert api.buy().status_code == 200
    (gone,) = Reservation.objects.filter(gives_way_at__isnull=False)
    assert gone.client_hash == "many" and gone.since == ChannelOrder.objects.last().created_at
    assert api.buy().status_code == 200
    assert Reservation.objects.filter(gives_way_at__isnull=False).count() == 2  # who was told to go counts no more


def test_above_the_bound_in_all_nobody_s_own_new_quote_ends(api: Api, settings: Any) -> None:
    settings.MOST_UNPAID_ORDERS = 0
    assert api.buy().status_code == 200
    assert not Reservation.objects.filter(gives_way_at__isnull=False).exists()
