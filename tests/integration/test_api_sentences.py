"""What v1 says when the domain refuses: status, code, field, sentence and Retry-After, to the letter.

Clients of v1 know no other names than these; what the domain calls the same things is nobody's business there.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from lightning.errors import NodeUnavailable
from orders import actors
from orders.models import ChannelOrder, IdempotencyKey, NodeSnapshot, OrderEvent, Reservation, Service, SwitchName
from orders.operations import pausing, snapshot
from orders.operations.claiming import MOST_CHANGES
from orders.states import InvoiceState
from tests.factories import OpeningFactory, OrderFactory, pubkey
from tests.fakes import FakeNode
from tests.integration.conftest import Api

AT_THE_NODE = "Our node cannot be reached now; please try again later."
NO_COINS = "We do not have enough coins for this channel now, but for one of 487780 satoshis."
KEY = {"Idempotency-Key": "5e0f3a52-6f4f-4f3b-8a10-8d6f1f3f3c11"}
CLAIMED = "The order is claimed. Its order_token, or an attempt that its node has failed, is needed to change that."


def said(answer: Any) -> tuple[Any, ...]:
    """All that a client is told by."""
    assert set(answer.said) == {"error", "code", "field"}
    return (
        answer.status_code,
        answer.said["code"],
        answer.said["field"],
        answer.said["error"],
        answer.get("Retry-After"),
    )


def refused(api: Api, **changes: Any) -> tuple[Any, ...]:
    answer = said(api.buy(**changes))
    assert not ChannelOrder.objects.exists()
    return answer


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"local_balance": 0}, "local_balance", "local_balance must be more than 0."),
        ({"remote_balance": 8_000_001}, "remote_balance", "remote_balance must not be more than 8000000."),
        ({"remote_balance": 1_000_000}, "remote_balance", "local_balance must be more than remote_balance."),
        (
            {"local_balance": 99_999, "remote_balance": 0},
            "local_balance",
            "The channel must have at least 100000 satoshis.",
        ),
        ({"local_balance": 16_000_000}, "local_balance", "The channel must not have more than 16000000 satoshis."),
        ({"channel_expiry": 13}, "channel_expiry", "channel_expiry must be from 1 to 12 weeks."),
        ({"channel_expiry": 0}, "channel_expiry", "channel_expiry must not be less than 1."),
        ({"local_balance": True}, "local_balance", "local_balance must be an integer."),
        ({"node_uri": 5}, "node_uri", "node_uri must be a string."),
        ({"private": "yes"}, "private", "private must be true or false, or 1 or 0."),
        ({"product_id": "x"}, "product_id", "product_id is not the id of a service."),
    ],
)
def test_what_is_not_on_offer_is_refused_in_v1s_own_words(
    api: Api, changes: dict[str, Any], field: str, sentence: str
) -> None:
    assert refused(api, **changes) == (400, "invalid", field, sentence, None)


def test_a_product_that_is_not_on_sale(api: Api) -> None:
    assert refused(api, product_id=str(UUID(int=5))) == (
        400, "product_not_found", "product_id", "There is no such product on sale.", None,
    )  # fmt: skip


def test_nothing_is_on_sale(api: Api) -> None:
    Service.objects.update(on_sale=False)
    assert refused(api) == (503, "not_available", None, "Nothing is on sale now.", "60")


def test_sales_are_paused(api: Api) -> None:
    pausing.pause(SwitchName.SALES, reason="We upgrade.", actor=actors.staff("ada"))
    assert refused(api) == (503, "not_available", None, "Sales are paused: We upgrade.", "300")


def test_more_is_bought_than_we_keep_up_with(api: Api) -> None:
    snapshot.say_behind()
    sentence = "More is being bought just now than we keep up with; please try again in a moment."
    assert refused(api) == (503, "not_available", None, sentence, "2")


def test_that_we_were_behind_keeps_nobody_for_long(api: Api) -> None:
    for until in (timezone.now() - timedelta(seconds=1), timezone.now() + timedelta(hours=1)):  # a clock was wrong
        NodeSnapshot.objects.update(behind_until=until)
        assert api.buy().status_code == 200


def test_the_node_is_behind_the_chain(api: Api) -> None:
    NodeSnapshot.objects.update(synced_to_chain=False)
    sentence = "Our node is catching up with the chain; please try again later."
    assert refused(api) == (503, "not_available", None, sentence, "60")


def test_the_node_is_away(api: Api, node: FakeNode) -> None:
    node.fails = NodeUnavailable()
    assert refused(api) == (503, "not_available", None, AT_THE_NODE, "60")


def test_a_service_on_chain_only_while_that_is_off(api: Api, settings: Any) -> None:
    settings.ONCHAIN_ENABLED = False
    Service.objects.update(accepts_lightning=False)
    sentence = "This service takes on-chain payments only, and they are off now."
    assert refused(api) == (503, "not_available", None, sentence, "60")


def test_our_coins_are_too_few(api: Api, node: FakeNode) -> None:
    node.spendable_sat = 500_000
    NodeSnapshot.objects.update(spendable_sat=500_000)
    assert refused(api) == (503, "not_available", "local_balance", NO_COINS, "3600")


def test_our_coins_suffice_for_no_channel(api: Api, node: FakeNode) -> None:
    node.spendable_sat = 0
    NodeSnapshot.objects.update(spendable_sat=0)
    sentence = "We do not have enough coins for a channel now."
    assert refused(api) == (503, "not_available", "local_balance", sentence, "3600")


def test_one_client_keeps_too_much_waiting(api: Api, settings: Any) -> None:
    settings.UNPAID_SHARE_PERCENT = 1
    api.buy(local_balance=15_000_000)
    Reservation.objects.update(since=timezone.now() - timedelta(minutes=10))
    sentence = "Too much waits for you, unpaid or unclaimed; pay it, claim it or let it expire."
    assert said(api.buy()) == (429, "too_much_waits", None, sentence, "600")


def test_one_client_has_too_many_unpaid_orders(api: Api, settings: Any) -> None:
    settings.UNPAID_ORDERS_PER_CLIENT = 1
    api.buy()
    sentence = "You have too many unpaid orders; pay one or let it expire."
    assert said(api.buy()) == (429, "too_many_unpaid_orders", None, sentence, "60")


def test_a_key_that_stands_for_another_request(api: Api) -> None:
    api.buy(KEY)
    sentence = "This idempotency key was used for another request."
    assert said(api.buy(KEY, channel_expiry=7)) == (422, "idempotency_key_reused", "Idempotency-Key", sentence, None)


def test_a_key_whose_first_request_is_in_flight(api: Api) -> None:
    api.buy(KEY)
    IdempotencyKey.objects.update(order=None)
    sentence = "The first request with this idempotency key is still in flight."
    assert said(api.buy(KEY)) == (409, "idempotency_key_in_flight", "Idempotency-Key", sentence, "1")


def test_an_order_that_is_not_there(api: Api) -> None:
    not_there = (404, "order_not_found", "order_id", "Order not found.", None)
    assert said(api.get("/channel/order", {"order_id": str(uuid4())})) == not_there
    assert said(api.post("/channel/order", {"order_id": "nonsense"})) == not_there
    assert said(finalised(api, uuid4())) == not_there


def finalised(api: Api, order_id: Any, node: int = 5) -> Any:
    return api.post("/channel/manual_finalise", {"order_id": str(order_id), "node_uri": pubkey(node)})


def not_claimed(api: Api, order: ChannelOrder) -> str:
    *known, sentence, later = said(finalised(api, order.pk))
    assert (*known, later) == (409, "not_claimable", "order_id", None)
    return str(sentence)


@pytest.mark.parametrize(
    ("trait", "sentence"),
    [
        ({}, "The order is not paid yet."),
        ({"expired": True}, "The order has expired."),
        ({"open": True}, "The order cannot be claimed any more: it is in state Open."),
        (
            {"give_up": True, "give_up_reason": "CANCELLED"},
            "The order cannot be claimed any more: it is in state Gave up.",
        ),
    ],
)
def test_an_order_that_cannot_be_claimed(api: Api, trait: dict[str, Any], sentence: str) -> None:
    assert not_claimed(api, OrderFactory(**trait)) == sentence


def test_an_order_whose_channel_is_being_opened_to_another_node(api: Api) -> None:
    order = OrderFactory(uri_set=True)
    OpeningFactory(order=order, negotiating=True)
    assert not_claimed(api, order) == "The channel to another node is being opened already."


def test_an_order_whose_payment_goes_back(api: Api) -> None:
    order = OrderFactory(paid_lightning=True, invoice__state=InvoiceState.RETURNING)
    assert not_claimed(api, order) == "The payment is going back."


def test_a_claim_that_was_changed_too_often(api: Api) -> None:
    order = OrderFactory(uri_set=True, last_failure_reason="PEER_NOT_REACHABLE")
    at = timezone.now() - timedelta(minutes=1)
    OrderEvent.objects.bulk_create(
        OrderEvent(order=order, version=100 + n, at=at, actor="buyer", cause="claimed", to_state=order.state)
        for n in range(MOST_CHANGES)
    )
    assert not_claimed(api, order) == "The claim was changed too often."


@pytest.mark.parametrize(
    ("trait", "more", "reason"),
    [
        (
            {"uri_set": True},
            {"remoteid": pubkey(999)},
            CLAIMED,
        ),
        ({"opening": True}, {"cancel": "1"}, "The claim cannot be taken back any more."),
        ({}, {"remoteid": pubkey(5)}, "The order is not paid yet."),
        ({}, {"order_id": str(UUID(int=5))}, "order_id and k1 must not differ."),
        ({"paid_lightning": True}, {}, "remoteid is required."),
    ],
)
def test_a_wallet_is_told_the_reason_alone(api: Api, trait: dict[str, Any], more: dict[str, str], reason: str) -> None:
    answer = api.get("/lnurl/channel", {"k1": str(OrderFactory(**trait).pk), **more})
    assert (answer.status_code, answer.said) == (200, {"status": "ERROR", "reason": reason})


def test_a_wallet_is_told_when_nobody_can_connect_to_us(api: Api) -> None:
    NodeSnapshot.objects.update(uris=[])
    answer = api.get("/lnurl/channel", {"order_id": str(OrderFactory(paid_lightning=True).pk)})
    reason = "The LSP's node has no address that a wallet could connect to."
    assert (answer.said, answer["Retry-After"]) == ({"status": "ERROR", "reason": reason}, "60")
