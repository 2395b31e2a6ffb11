"""lsps1.create_order over REST. Each test is named by its number in docs/conformance.md."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from lightning.errors import NodeUnavailable
from orders.models import (
    Ban,
    ChannelOrder,
    Coupon,
    IdempotencyKey,
    NodeSnapshot,
    Service,
    Switch,
    SwitchName,
    TokenPattern,
)
from tests.factories import OrderFactory, pubkey
from tests.fakes import OUR_KEY, FakeNode, regtest_address
from tests.integration.conftest import KEY, Api
from tests.integration.lsps1 import (
    INVALID,
    MISMATCH,
    NOT_NOW,
    ORDER,
    REFUND,
    REJECTED,
    ROOTS,
    TOKEN,
    Wallet,
    refused,
)

AMOUNTS = ["lsp_balance_sat", "client_balance_sat"]
INTEGERS = ["required_channel_confirmations", "funding_confirms_within_blocks", "channel_expiry_blocks"]
NO_NUMBERS: list[Any] = [
    None, ..., True, "", " ", "x", "-1", "1e6", "1.5", "+1", "00", "0x10", "１０", "1 000", -1, 1.5, [], {}, "9" * 40,
    10**30, "\x00",
]  # fmt: skip


@pytest.fixture
def wallet(db: None, node: FakeNode, snapshot: NodeSnapshot) -> Wallet:
    return Wallet()


def nothing_is_left() -> bool:
    return not ChannelOrder.objects.exists() and not IdempotencyKey.objects.exists()


class TestWhatIsRead:
    @pytest.mark.parametrize("name", [*AMOUNTS, *INTEGERS])
    @pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:16])
    def test_l1_10_what_is_no_number_is_refused_by_name(self, wallet: Wallet, name: str, value: Any) -> None:
        answer = wallet.create_order({"Idempotency-Key": KEY}, **{name: value})
        assert (answer.status_code, refused(answer)) == (400, (INVALID, name))
        assert nothing_is_left()

    @pytest.mark.parametrize("name", INTEGERS)
    def test_l1_10_more_than_its_type_holds_is_refused(self, wallet: Wallet, name: str) -> None:
        assert refused(wallet.create_order(**{name: 2**32})) == (INVALID, name)

    @pytest.mark.parametrize("value", [None, ..., 0, 1, "true", "", [], {}], ids=repr)
    def test_l1_10_what_is_no_boolean_is_refused_by_name(self, wallet: Wallet, value: Any) -> None:
        assert refused(wallet.create_order(announce_channel=value)) == (INVALID, "announce_channel")

    @pytest.mark.parametrize("name", ["token", "refund_onchain_address", "public_key", "node_uri"])
    @pytest.mark.parametrize("value", [0, 1.5, True, [], {}, "x" * 400, "\x00", "\ud800"], ids=lambda v: repr(v)[:16])
    def test_l1_10_what_is_no_text_is_refused_by_name(self, wallet: Wallet, name: str, value: Any) -> None:
        assert refused(wallet.create_order(**{name: value})) == (INVALID, name)

    @pytest.mark.parametrize("body", [None, 5, "x", [], [{}]], ids=repr)
    def test_l1_10_parameters_go_by_name(self, wallet: Wallet, body: Any) -> None:
        assert refused(wallet.post("/create_order", body)) == (INVALID, None)

    def test_l0_11_parameters_that_there_are_not_are_named_all_of_them(self, wallet: Wallet) -> None:
        answer = wallet.create_order(confirms_within_blocks=1, foo=None)
        assert refused(answer)[0] == INVALID
        assert answer.said["error"]["data"]["unrecognized"] == ["confirms_within_blocks", "foo"]

    @pytest.mark.parametrize("name", ["\ud800", "\x00", "x" * 60_000, "<script>", ""])
    def test_l0_11_whatever_they_are_called(self, wallet: Wallet, name: str) -> None:
        answer = wallet.create_order(**{name: 1})
        assert (answer.status_code, refused(answer)[0]) == (400, INVALID)
        assert len(answer.said["error"]["data"]["unrecognized"]) == 1

    def test_l0_11_who_the_wallet_is_may_be_told(self, wallet: Wallet) -> None:
        client = {"app": "ZEUS", "app_version": "0.9", "node": "lnd", "node_version": "0.18"}
        assert wallet.create_order(client_info=client).status_code == 200

    def test_l0_13_a_value_at_fault_has_an_empty_list_of_unknown_ones(self, wallet: Wallet) -> None:
        assert wallet.create_order(token=5).said["error"]["data"]["unrecognized"] == []

    def test_l0_17_integers_are_taken_for_amounts_and_strings_are_told(self, wallet: Wallet) -> None:
        said = wallet.create_order(lsp_balance_sat=1_000_000, client_balance_sat=0).said
        assert (said["lsp_balance_sat"], said["client_balance_sat"]) == ("1000000", "0")

    def test_l0_17_a_wallet_that_sends_its_term_as_a_string_is_understood(self, wallet: Wallet) -> None:
        assert wallet.create_order(channel_expiry_blocks="4380").said["channel_expiry_blocks"] == 4380

    def test_l0_21_keys_are_read_in_either_case_and_must_be_points(self, wallet: Wallet) -> None:
        assert wallet.create_order(public_key=pubkey(3).upper()).status_code == 200
        assert ChannelOrder.objects.get().node_pubkey == pubkey(3)
        for key in ("02" + "00" * 32, "04" + "11" * 32, "02" + "f" * 64, pubkey(3)[:-2]):
            assert refused(wallet.create_order(public_key=key)) == (INVALID, "public_key")

    @pytest.mark.parametrize(
        ("named", "host"),
        [
            ({"public_key": f"{pubkey(3)}@198.51.100.9:9735"}, "198.51.100.9:9735"),
            ({"public_key": f"{pubkey(3)}@[2001:db8::5]:9999"}, "[2001:db8::5]:9999"),
            ({"public_key": pubkey(3), "host": "node.example.com"}, "node.example.com:9735"),
            ({"public_key": pubkey(3), "host": "[2001:db8::5]:9735"}, "[2001:db8::5]:9735"),
            ({"public_key": pubkey(3), "node_uri": f"{pubkey(3)}@node.example.com:1"}, "node.example.com:1"),
            ({"public_key": ..., "node_uri": f"{pubkey(3)}@node.example.com:1"}, "node.example.com:1"),
            ({"public_key": pubkey(3)}, ""),
        ],
    )
    def test_l0_22_addresses_are_split_at_the_first_at_and_the_last_colon(
        self, wallet: Wallet, named: dict[str, Any], host: str
    ) -> None:
        assert wallet.create_order(**named).status_code == 200
        order = ChannelOrder.objects.get()
        assert (order.node_pubkey, order.node_host) == (pubkey(3), host)

    @pytest.mark.parametrize("host", ["a b", "x:0", "x:99999", "[::", "@", "http://x"])
    def test_l0_22_what_is_no_host_is_refused(self, wallet: Wallet, host: str) -> None:
        assert refused(wallet.create_order(host=host)) == (INVALID, "host")

    def test_l0_23_money_goes_back_to_segwit_addresses_of_our_network_alone(self, wallet: Wallet) -> None:
        taken = [
            regtest_address(5),
            "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6",
        ]
        for address in taken:
            assert wallet.create_order(refund_onchain_address=address).status_code == 200
        for address in (
            "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",  # P2PKH
            "2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc",  # P2SH
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",  # another network
            REFUND[:-1],
        ):
            assert refused(wallet.create_order(refund_onchain_address=address)) == (INVALID, "refund_onchain_address")


class TestWhatIsOnOffer:
    @pytest.mark.parametrize(
        ("changes", "option"),
        [
            # l1_12, l1_13, l1_14
            ({"lsp_balance_sat": "0"}, "min_initial_lsp_balance_sat"),
            ({"lsp_balance_sat": "99999", "client_balance_sat": "0"}, "min_initial_lsp_balance_sat"),
            ({"lsp_balance_sat": "16000001", "client_balance_sat": "0"}, "max_initial_lsp_balance_sat"),
            ({"lsp_balance_sat": "9000000", "client_balance_sat": "8000001"}, "max_initial_client_balance_sat"),
            ({"lsp_balance_sat": "15999999", "client_balance_sat": "2"}, "max_channel_balance_sat"),
            ({"lsp_balance_sat": "500000", "client_balance_sat": "500000"}, "max_initial_client_balance_sat"),
            # l1_15, l1_16, l1_17
            ({"required_channel_confirmations": 0}, "min_required_channel_confirmations"),
            ({"funding_confirms_within_blocks": 2}, "min_funding_confirms_within_blocks"),
            ({"funding_confirms_within_blocks": 0}, "min_funding_confirms_within_blocks"),
            ({"channel_expiry_blocks": 12 * 1008 + 1}, "max_channel_expiry_blocks"),
        ],
    )
    def test_l1_11_to_17_beyond_an_option_it_is_named_by_the_options_name(
        self, wallet: Wallet, changes: dict[str, Any], option: str
    ) -> None:
        answer = wallet.create_order({"Idempotency-Key": KEY}, **changes)
        assert (answer.status_code, refused(answer)) == (422, (MISMATCH, option))
        assert nothing_is_left()

    def test_l1_17_a_term_has_a_block_at_least(self, wallet: Wallet) -> None:
        assert refused(wallet.create_order(channel_expiry_blocks=0)) == (INVALID, "channel_expiry_blocks")

    def test_l1_17_a_term_shorter_than_we_sell_is_promised_as_asked_at_the_price_of_the_shortest(
        self, wallet: Wallet
    ) -> None:
        said = wallet.create_order(channel_expiry_blocks=144).said
        assert said["channel_expiry_blocks"] == 144
        assert ChannelOrder.objects.get().channel_expiry_blocks == 144
        least = Service.objects.get().min_expiry_blocks
        asked = wallet.create_order(channel_expiry_blocks=least).said
        assert said["payment"]["bolt11"]["fee_total_sat"] == asked["payment"]["bolt11"]["fee_total_sat"]

    def test_the_other_door_sells_no_shorter_term_than_before(self, api: Api) -> None:
        Service.objects.update(min_expiry_blocks=2016)
        assert api.buy(channel_expiry=1).status_code == 400

    @pytest.mark.parametrize("token", ["x", "albyhub/1", "AlbyHub", "btcpay-lsp-plugin2", "*", "ABCD-1234", " "])
    def test_l1_18_a_token_that_means_nothing_is_refused_never_passed_over(self, wallet: Wallet, token: str) -> None:
        answer = wallet.create_order({"Idempotency-Key": KEY}, token=token)
        assert (answer.status_code, refused(answer)) == (422, (TOKEN, "token"))
        assert nothing_is_left()

    @pytest.mark.parametrize("token", ["AlbyHub/1.21.0", "AlbyHub/", "btcpay-lsp-plugin"])
    def test_l1_18_one_that_says_which_wallet_it_is_is_taken_and_kept(self, wallet: Wallet, token: str) -> None:
        assert wallet.create_order(token=token).said["token"] == token
        assert ChannelOrder.objects.get().token == token

    def test_l1_18_which_those_are_is_a_list_of_staffs(self, wallet: Wallet) -> None:
        TokenPattern.objects.filter(pattern="btcpay-lsp-plugin").update(is_active=False)
        TokenPattern.objects.create(pattern="MyWallet-*")
        assert wallet.create_order(token="MyWallet-7").status_code == 200
        assert refused(wallet.create_order(token="btcpay-lsp-plugin"))[0] == TOKEN

    @pytest.mark.parametrize(("sent", "told"), [(..., ""), ("", ""), (None, None)])
    def test_l1_19_a_token_that_is_not_sent_is_told_as_empty_and_null_as_null(
        self, wallet: Wallet, sent: Any, told: str | None
    ) -> None:
        made = wallet.create_order(token=sent).said
        assert made["token"] == told
        assert wallet.get_order(made["order_id"]).said["token"] == told

    @pytest.mark.parametrize("address", [..., "", None])
    def test_l1_20_without_a_refund_address_nothing_is_to_be_paid_on_chain_whatever_door_is_asked(
        self, wallet: Wallet, node: FakeNode, address: Any
    ) -> None:
        said = wallet.create_order(refund_onchain_address=address).said
        assert "onchain" not in said["payment"] and said["payment"]["onchain_address"] is None
        assert "new_address" not in node.calls
        order = Api().get("/channel/order", {"order_id": said["order_id"]}).said
        assert order["btc_address"] is None and order["ln_invoice"] == said["payment"]["bolt11"]["invoice"]

    def test_l1_20_a_service_that_is_paid_on_chain_alone_asks_for_one(self, wallet: Wallet) -> None:
        Service.objects.update(accepts_lightning=False)
        assert refused(wallet.create_order(refund_onchain_address="")) == (INVALID, "refund_onchain_address")
        assert set(wallet.create_order().said["payment"]) >= {"onchain"}

    def test_l1_21_who_is_not_served_is_rejected(self, wallet: Wallet) -> None:
        Ban.objects.create(kind="node", value=pubkey(1), reason="No.", created_at=timezone.now(), created_by="alice")
        answer = wallet.create_order()
        assert (answer.status_code, refused(answer)[0]) == (403, REJECTED)
        assert nothing_is_left()


class TestWhatIsMade:
    @pytest.mark.parametrize("root", ROOTS)
    def test_l1_22_23_24_a_new_order_mirrors_what_was_asked(self, wallet: Wallet, root: str) -> None:
        said = Wallet(root).create_order().said
        assert UUID(said["order_id"]).version == 4 and len(said["order_id"]) <= 64
        mirrored = set(ORDER) - {"public_key", "refund_onchain_address"}
        assert {name: said[name] for name in mirrored} == {name: ORDER[name] for name in mirrored}
        assert said["payment"]["onchain"]["refund_onchain_address"] == ORDER["refund_onchain_address"]
        assert (said["order_state"], said["channel"]) == ("CREATED", None)

    def test_the_order_is_for_the_node_that_was_named_from_the_beginning(self, wallet: Wallet) -> None:
        wallet.create_order(announce_channel=True, token="AlbyHub/1")
        order = ChannelOrder.objects.get()
        assert (order.node_pubkey, order.is_announced, order.door) == (pubkey(1), True, "lsps1_rest")
        assert (order.required_channel_confirmations, order.funding_confirms_within_blocks) == (1, 6)
        assert order.refund_address == REFUND
        assert order.events.get().facts["door"] == "lsps1_rest"

    def test_l1_25_both_ways_cost_the_fee_and_what_is_on_the_clients_side(self, wallet: Wallet) -> None:
        payment = wallet.create_order().said["payment"]
        for way in (payment["bolt11"], payment["onchain"]):
            assert int(way["order_total_sat"]) == int(way["fee_total_sat"]) + 50_000
            assert way["state"] == "EXPECT_PAYMENT"

    @pytest.mark.parametrize("minimum_sat", [1, 50_000])
    def test_the_price_is_told_by_its_parts_as_an_estimate_tells_it(self, wallet: Wallet, minimum_sat: int) -> None:
        Service.objects.update(minimum_fee_sat=minimum_sat)
        Coupon.objects.create(code="TENTH-OF-IT", discount_percent=10)
        asked = {"local_balance": 1_000_000, "remote_balance": 50_000, "channel_expiry": 6, "coupon": "TENTH-OF-IT"}
        estimate: Any = Api().post("/channel/estimate", asked)
        told = wallet.create_order(token="TENTH-OF-IT", funding_confirms_within_blocks=3).said
        price = told["price"]
        chain = {name: price.pop(name) for name in ("sat_per_kw", "opening_vbytes", "closing_vbytes")}
        assert chain == {name: estimate.said["chain"][name] for name in chain}
        assert price.pop("opening_sat_per_kw") == chain["sat_per_kw"]
        parts = {name.removesuffix("_sat"): int(sat) for name, sat in price.items()}
        assert {**parts, "discount": -parts["discount"]} == estimate.said["price_parts"]
        discount_sat = int(price.pop("discount_sat"))
        assert 0 < discount_sat == sum(map(int, price.values())) - int(told["payment"]["bolt11"]["fee_total_sat"])

    def test_l1_27_rest_has_to_be_told_which_node_it_is_for(self, wallet: Wallet) -> None:
        assert refused(wallet.create_order(public_key=...)) == (INVALID, "public_key")
        assert refused(wallet.create_order(public_key="")) == (INVALID, "public_key")
        assert refused(wallet.create_order(public_key=OUR_KEY)) == (INVALID, "public_key")
        answer = wallet.create_order(node_uri=f"{pubkey(2)}@198.51.100.7:9735")
        assert refused(answer) == (INVALID, "node_uri")

    def test_l1_28_the_same_twice_makes_two_orders(self, wallet: Wallet) -> None:
        assert wallet.create_order().said["order_id"] != wallet.create_order().said["order_id"]

    def test_l1_28_with_an_idempotency_key_it_makes_one(self, wallet: Wallet) -> None:
        key = {"Idempotency-Key": KEY}
        assert wallet.create_order(key).said == wallet.create_order(key).said
        answer = wallet.create_order(key, channel_expiry_blocks=4380)
        assert (answer.status_code, refused(answer)) == (422, (INVALID, "Idempotency-Key"))
        assert refused(wallet.create_order({"Idempotency-Key": "short"})) == (INVALID, "Idempotency-Key")
        assert ChannelOrder.objects.count() == 1

    def test_l1_40_the_invoice_is_for_the_total_and_short_enough(self, wallet: Wallet, node: FakeNode) -> None:
        said = wallet.create_order().said
        bolt11 = said["payment"]["bolt11"]
        (invoice,) = node.invoices.values()
        assert (invoice.payment_request, str(invoice.value_sat)) == (bolt11["invoice"], bolt11["order_total_sat"])
        assert len(bolt11["invoice"]) <= 2048

    def test_l1_50_each_order_has_an_address_of_its_own(self, wallet: Wallet) -> None:
        first, second = (wallet.create_order().said["payment"]["onchain"]["address"] for _ in range(2))
        assert first != second and first.startswith("bcrt1q")

    def test_earlier_clients_find_their_names(self, wallet: Wallet, settings: Any) -> None:
        said = wallet.create_order().said
        payment = said["payment"]
        assert payment["lightning_invoice"] == payment["bolt11_invoice"] == payment["bolt11"]["invoice"]
        assert payment["onchain_address"] == payment["onchain"]["onchain_address"] == payment["onchain"]["address"]
        assert (payment["state"], payment["order_total_sat"]) == (
            "EXPECT_PAYMENT",
            payment["bolt11"]["order_total_sat"],
        )
        assert said["expires_at"] == payment["bolt11"]["expires_at"]
        settings.LSPS1_ALIASES = False
        strict = wallet.get_order(said["order_id"]).said
        assert set(strict["payment"]) == {"bolt11", "onchain"} and "expires_at" not in strict
        assert "onchain_address" not in strict["payment"]["onchain"]

    def test_it_takes_a_turn_and_few_statements(
        self, wallet: Wallet, node: FakeNode, django_assert_max_num_queries: Any
    ) -> None:
        with django_assert_max_num_queries(23):  # as a purchase by the other door, and the order is read whole
            assert wallet.create_order().status_code == 200


class TestWhatCannotBeHad:
    def test_l0_14_what_cannot_be_had_now_has_a_code_of_the_range_that_servers_have(self, wallet: Wallet) -> None:
        Switch.objects.create(name=SwitchName.SALES, on=False, reason="Inventory.", at=timezone.now(), actor="alice")
        answer = wallet.create_order()
        assert answer.status_code == 503 and int(answer["Retry-After"]) > 0
        assert refused(answer)[0] == NOT_NOW and "Inventory." in answer.said["message"]

    def test_more_than_our_coins_says_for_how_much_they_suffice(self, wallet: Wallet, node: FakeNode) -> None:
        node.spendable_sat = 500_000
        NodeSnapshot.objects.update(spendable_sat=500_000)
        answer = wallet.create_order()
        assert (answer.status_code, refused(answer)) == (503, (NOT_NOW, "max_channel_balance_sat"))

    def test_a_node_that_is_away_is_not_available_now(self, wallet: Wallet, node: FakeNode) -> None:
        node.fails = NodeUnavailable()
        answer = wallet.create_order()
        assert (answer.status_code, refused(answer)[0]) == (503, NOT_NOW)

    def test_l0_30_who_has_too_many_unpaid_orders_is_told_when_to_come_back(
        self, wallet: Wallet, settings: Any
    ) -> None:
        settings.UNPAID_ORDERS_PER_CLIENT = 1
        wallet.create_order()
        answer = wallet.create_order()
        assert (answer.status_code, refused(answer)[0]) == (429, REJECTED) and "Retry-After" in answer

    def test_both_doors_are_counted_together(self, wallet: Wallet, settings: Any) -> None:
        settings.BUY_RATE = "1/min"
        assert Api().buy().status_code == 200
        answer = wallet.create_order()
        assert (answer.status_code, refused(answer)[0]) == (429, REJECTED) and int(answer["Retry-After"]) > 0

    def test_more_than_one_node_may_have_is_refused(self, wallet: Wallet, settings: Any) -> None:
        settings.MOST_NODE_SAT = 1_000_000
        answer = wallet.create_order()
        assert (answer.status_code, refused(answer)) == (409, (REJECTED, "public_key"))

    def test_money_does_not_go_back_to_an_address_of_ours(self, wallet: Wallet) -> None:
        ours = OrderFactory().deposit_address
        assert refused(wallet.create_order(refund_onchain_address=ours)) == (INVALID, "refund_onchain_address")
