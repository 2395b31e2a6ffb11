"""GET /channel/order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from orders.models import ChannelOrder, NodeSnapshot, Service
from orders.states import OrderState
from tests.factories import DepositFactory, OpeningFactory, OrderFactory
from tests.fakes import OUR_KEY
from tests.integration.conftest import Api

SPECIFIED = {
    "_id", "local_balance", "remote_balance", "channel_expiry", "channel_expiry_ts", "order_expiry", "total_amount",
    "btc_address", "created_at", "amount_received", "remote_node", "channel_open_tx", "purchase_invoice", "lnurl",
    "state", "onchain_payments",
}  # fmt: skip
SERVED_AT_FIRST = {
    "price", "lnurl_decoded", "lnurl_string", "private_channel", "zero_conf", "zero_conf_satvbyte",
    "zero_conf_satvbyte_expiry", "channel_close_tx", "lightning_channel_id", "current_channel_info",
    "channel_open_error", "refund_needed", "refund_amount", "refund_tx", "refunded_at", "opening_attempts",
}  # fmt: skip
A_QUOTE_DECODES_FROM_IT = {"order_id", "ln_invoice", "lnurl_channel"}
OURS = {
    "product_id", "state_name", "onchain_payments_gone", "payment_held", "underpaid", "overpaid", "paid_late",
    "claim_expiry", "give_up_reason",
    "max_routing_fee_base_msat", "max_routing_fee_ppm",
}  # fmt: skip
NUMBERS = ["local_balance", "remote_balance", "channel_expiry", "total_amount", "price", "amount_received", "state"]
EVERY_STATE = [
    {}, {"paid_lightning": True}, {"paid_onchain": True}, {"uri_set": True}, {"opening": True}, {"open": True},
    {"closing": True}, {"closed": True}, {"give_up": True}, {"expired": True}, {"rejected": True}, {"refunded": True},
]  # fmt: skip


def shown(api: Api, order: ChannelOrder, **query: str) -> dict[str, Any]:
    answer = api.get("/channel/order", {"order_id": str(order.pk), **query})
    assert answer.status_code == 200
    said: dict[str, Any] = answer.said
    return said


def milliseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@pytest.mark.parametrize("trait", EVERY_STATE, ids=str)
def test_every_field_is_there_in_every_state(api: Api, trait: dict[str, bool]) -> None:
    said = shown(api, OrderFactory(**trait))
    assert set(said) == SPECIFIED | SERVED_AT_FIRST | A_QUOTE_DECODES_FROM_IT | OURS


@pytest.mark.parametrize("trait", EVERY_STATE, ids=str)
def test_numbers_are_integers_and_times_are_milliseconds(api: Api, trait: dict[str, bool]) -> None:
    order = OrderFactory(**trait)
    said = shown(api, order)
    for name in (
        "local_balance",
        "remote_balance",
        "channel_expiry",
        "total_amount",
        "price",
        "amount_received",
        "state",
    ):
        assert type(said[name]) is int, name
    assert said["created_at"] == milliseconds(order.created_at)
    assert said["order_expiry"] == milliseconds(order.expires_at)
    assert said["price"] == said["total_amount"] - said["remote_balance"]


def test_what_is_not_known_yet_is_null(api: Api) -> None:
    said = shown(api, OrderFactory())
    unknown = {name for name, value in said.items() if value is None}
    assert unknown == {
        "remote_node", "channel_open_tx", "channel_close_tx", "lightning_channel_id", "current_channel_info",
        "channel_open_error", "give_up_reason", "refund_amount", "refund_tx", "refunded_at", "claim_expiry",
        "zero_conf_satvbyte_expiry", "max_routing_fee_base_msat", "max_routing_fee_ppm",
    }  # fmt: skip
    assert said["onchain_payments"] == said["opening_attempts"] == []
    assert said["amount_received"] == 0


def test_local_is_the_lsps_side_and_remote_the_clients(api: Api) -> None:
    said = shown(api, OrderFactory(lsp_balance_sat=900_000, client_balance_sat=10_000))
    assert (said["local_balance"], said["remote_balance"]) == (900_000, 10_000)


def test_an_order_decodes_as_a_quote(api: Api) -> None:
    quote = api.buy().said
    order = api.get("/channel/order", {"order_id": quote["order_id"]}).said
    del quote["order_token"], quote["warnings"]  # both are told once
    assert {name: order[name] for name in quote} == quote


def test_d8_rejected_and_closed_share_a_number_and_not_a_name(api: Api) -> None:
    rejected, closed = shown(api, OrderFactory(rejected=True)), shown(api, OrderFactory(closed=True))
    assert rejected["state"] == closed["state"] == 450
    assert (rejected["state_name"], closed["state_name"]) == ("REJECTED", "CLOSED")


@pytest.mark.parametrize("trait", EVERY_STATE, ids=str)
def test_each_state_has_its_number(api: Api, trait: dict[str, bool]) -> None:
    order = OrderFactory(**trait)
    states = api.get("/node/info").said["services"][0]["order_states"]
    said = shown(api, order)
    assert said["state"] == states[said["state_name"]] == OrderState(order.state).number


class TestTheLnurl:
    def test_it_is_there_by_all_its_names(self, api: Api, settings: Any) -> None:
        settings.PUBLIC_URL = "https://lsp.example"
        order = OrderFactory()
        said = shown(api, order)
        assert said["lnurl"] == said["lnurl_decoded"]
        assert said["lnurl"] == {
            "uri": f"{OUR_KEY}@203.0.113.5:9735",
            "k1": str(order.pk),
            "tag": "channelRequest",
            "callback": "https://lsp.example/lnurl/channel",
        }
        assert said["lnurl_string"] == said["lnurl_channel"]

    def test_a_node_never_seen_has_no_uri(self, api: Api) -> None:
        NodeSnapshot.objects.all().delete()
        assert shown(api, OrderFactory())["lnurl"]["uri"] is None


class TestMoney:
    def test_a_held_payment_is_received_and_still_the_buyers(self, api: Api) -> None:
        order = OrderFactory(paid_lightning=True)
        said = shown(api, order)
        assert (said["amount_received"], said["payment_held"]) == (order.order_total_sat, True)

    def test_a_settled_payment_is_not_held(self, api: Api) -> None:
        order = OrderFactory(open=True)
        said = shown(api, order)
        assert (said["amount_received"], said["payment_held"]) == (order.order_total_sat, False)

    def test_a_payment_on_its_way_back_is_held_until_it_is_back(self, api: Api) -> None:
        assert shown(api, OrderFactory(give_up=True, invoice__state="returning"))["payment_held"] is True

    def test_a_returned_payment_says_when(self, api: Api) -> None:
        order = OrderFactory(refunded=True)
        said = shown(api, order)
        assert said["refunded_at"] == milliseconds(order.hold_invoice.cancelled_at)
        assert (said["amount_received"], said["payment_held"]) == (0, False)

    def test_an_unconfirmed_deposit_is_listed_and_not_counted(self, api: Api) -> None:
        order = OrderFactory()
        deposit = DepositFactory(order=order, unconfirmed=True)
        said = shown(api, order)
        assert said["amount_received"] == 0
        assert said["onchain_payments"] == [
            {
                "hash": deposit.txid,
                "vout": 1,
                "to": order.deposit_address,
                "from": [],
                "height": None,
                "amount_base": order.order_total_sat,
                "fee_base": None,
                "zero_conf": False,
                "state": "seen",
                "confirmed": False,
                "confirmations": 0,
                "confirmations_required": 1,
            }
        ]

    def test_how_deep_a_deposit_is_and_how_deep_it_counts_is_told(self, api: Api, settings: Any) -> None:
        settings.ONCHAIN_CONFIRMATIONS = 3
        order = OrderFactory()
        DepositFactory(order=order, block_height=700, confirmations=2)
        [deposit] = shown(api, order)["onchain_payments"]
        assert (deposit["confirmations"], deposit["confirmations_required"]) == (2, 3)

    @pytest.mark.parametrize(("confirmations", "state"), [(2, "confirming"), (3, "deep")])
    def test_whether_a_deposit_counts_is_told_in_a_word(
        self, api: Api, settings: Any, confirmations: int, state: str
    ) -> None:
        settings.ONCHAIN_CONFIRMATIONS = 3
        order = OrderFactory()
        DepositFactory(order=order, block_height=700, confirmations=confirmations)
        assert [each["state"] for each in shown(api, order)["onchain_payments"]] == [state]

    def test_a_confirmed_deposit_is_counted(self, api: Api) -> None:
        order = OrderFactory(paid_onchain=True)
        said = shown(api, order)
        assert said["amount_received"] == order.order_total_sat
        assert said["onchain_payments"][0]["height"] == 798
        assert said["payment_held"] is False

    def test_a_deposit_that_was_replaced_is_not_added_up(self, api: Api) -> None:
        order = OrderFactory()
        gone = DepositFactory(order=order, vanished=True)
        said = shown(api, order)
        assert (said["onchain_payments"], said["amount_received"]) == ([], 0)
        [told] = said["onchain_payments_gone"]
        assert (told["hash"], told["state"], told["confirmations"]) == (gone.txid, "gone", 0)

    def test_d16_a_partial_payment_is_told(self, api: Api) -> None:
        order = OrderFactory(underpaid=True)
        DepositFactory(order=order, amount_sat=1_000)
        said = shown(api, order)
        assert (said["underpaid"], said["amount_received"], said["state_name"]) == (True, 1_000, "CREATED")


class TestTheChannel:
    def test_before_the_funding_block_its_end_is_provisional(self, api: Api) -> None:
        order = OrderFactory(uri_set=True)
        assert shown(api, order)["channel_expiry_ts"] == milliseconds(order.created_at + timedelta(weeks=6))

    def test_d14_its_time_runs_from_the_funding_block(self, api: Api) -> None:
        order = OrderFactory(open=True, lease_starts_at=timezone.now() + timedelta(days=3))
        said = shown(api, order)
        assert said["channel_expiry_ts"] == milliseconds(order.lease_starts_at + timedelta(weeks=6))

    def test_its_funding_is_shown_once_it_will_be_published(self, api: Api) -> None:
        order = OrderFactory(opening=True)
        funding = order.openings.get()
        assert shown(api, order)["channel_open_tx"] == {
            "transaction_id": funding.transaction.txid,
            "transaction_vout": 0,
        }

    def test_an_attempt_that_may_still_fail_shows_no_transaction(self, api: Api) -> None:
        order = OrderFactory(uri_set=True)
        OpeningFactory(order=order, state="funded")
        assert shown(api, order)["channel_open_tx"] is None

    def test_an_open_one_has_its_id(self, api: Api) -> None:
        assert shown(api, OrderFactory(open=True))["lightning_channel_id"] == "801x1x0"

    def test_a_closed_one_has_its_closing(self, api: Api) -> None:
        order = OrderFactory(closed=True)
        assert shown(api, order)["channel_close_tx"] == {
            "transaction_id": order.closing_txid,
            "ts": milliseconds(order.closed_at),
        }

    def test_why_we_gave_up_is_told(self, api: Api) -> None:
        said = shown(api, OrderFactory(give_up=True))
        assert said["give_up_reason"] == said["channel_open_error"] == "PEER_NOT_REACHABLE"

    def test_the_claimed_node_is_told(self, api: Api) -> None:
        order = OrderFactory(uri_set=True)
        assert shown(api, order)["remote_node"] == {
            "err": False,
            "public_key": order.node_pubkey,
            "addr": "198.51.100.7:9735",
            "ip": "198.51.100.7",
            "port": "9735",
        }

    def test_the_host_of_an_ipv6_node_is_whole(self, api: Api) -> None:
        node = shown(api, OrderFactory(uri_set=True, node_host="[2001:db8::1]:9735"))["remote_node"]
        assert (node["ip"], node["port"]) == ("2001:db8::1", "9735")

    def test_a_node_without_a_host_has_none(self, api: Api) -> None:
        node = shown(api, OrderFactory(uri_set=True, node_host=""))["remote_node"]
        assert (node["addr"], node["ip"], node["port"]) == (None, None, None)

    @pytest.mark.parametrize(
        ("by_claim", "by_purchase", "by_service", "private"),
        [
            (None, None, True, False),
            (None, None, False, True),
            (None, False, True, True),
            (True, False, False, False),
            (False, True, True, True),
        ],
    )
    def test_private_is_what_was_said_last(
        self, api: Api, by_claim: bool | None, by_purchase: bool | None, by_service: bool, private: bool
    ) -> None:
        Service.objects.update(announced_by_default=by_service)
        order = OrderFactory(uri_set=True, announced_by_claim=by_claim, announced_by_purchase=by_purchase)
        assert shown(api, order)["private_channel"] is private

    def test_attempts_are_shown_to_who_asks_for_full_data(self, api: Api) -> None:
        order = OrderFactory(give_up=True)
        assert shown(api, order)["opening_attempts"] == []
        attempt = shown(api, order, full_data="1")["opening_attempts"][0]
        assert attempt["error"] == "PEER_NOT_REACHABLE"
        assert attempt["public_key"] == order.node_pubkey


class TestLookingUp:
    def test_an_unknown_id_is_not_found(self, api: Api) -> None:
        answer = api.get("/channel/order", {"order_id": str(uuid4())})
        assert (answer.status_code, answer.said["field"], answer.said["code"]) == (404, "order_id", "order_not_found")

    def test_without_an_id_there_is_an_answer(self, api: Api) -> None:
        answer = api.get("/channel/order")
        assert (answer.status_code, answer.said["field"]) == (400, "order_id")

    def test_an_id_in_upper_case_or_without_hyphens_is_the_same(self, api: Api) -> None:
        order = OrderFactory()
        for text in (str(order.pk).upper(), order.pk.hex):
            assert api.get("/channel/order", {"order_id": text}).said["_id"] == str(order.pk)

    def test_an_id_of_the_first_server_is_not_found(self, api: Api) -> None:
        assert api.get("/channel/order", {"order_id": "62b5a3f1c7d2f0a9e4b81234"}).status_code == 404

    def test_several_ids_get_a_list_in_their_order(self, api: Api) -> None:
        first, second = OrderFactory(), OrderFactory(open=True)
        said = api.get("/channel/order", {"order_id": f"{second.pk},{first.pk}"}).said
        assert [order["_id"] for order in said] == [str(second.pk), str(first.pk)]

    def test_ids_of_no_order_are_left_out_of_a_list(self, api: Api) -> None:
        order = OrderFactory()
        said = api.get("/channel/order", {"order_id": f"nonsense,{order.pk},{uuid4()},,{order.pk}"}).said
        assert [each["_id"] for each in said] == [str(order.pk)]

    def test_one_id_and_a_comma_get_a_list(self, api: Api) -> None:
        assert len(api.get("/channel/order", {"order_id": f"{OrderFactory().pk},"}).said) == 1

    def test_fifty_are_allowed_and_one_more_is_not(self, api: Api) -> None:
        ids = [str(uuid4()) for _ in range(51)]
        assert api.get("/channel/order", {"order_id": ",".join(ids[:50])}).said == []
        answer = api.get("/channel/order", {"order_id": ",".join(ids)})
        assert (answer.status_code, answer.said["code"]) == (400, "too_many_orders")

    def test_a_long_list_takes_as_many_statements_as_a_short_one(
        self, api: Api, django_assert_max_num_queries: Any
    ) -> None:
        ids = ",".join(str(OrderFactory(open=True).pk) for _ in range(10))
        with django_assert_max_num_queries(6):
            assert len(api.get("/channel/order", {"order_id": ids}).said) == 10

    def test_post_works_as_get_does(self, api: Api) -> None:
        order = OrderFactory()
        assert api.post("/channel/order", {"order_id": str(order.pk)}).said == shown(api, order)
        path = f"/channel/order?order_id={order.pk}"
        assert api.send(path, b"").said == shown(api, order)
