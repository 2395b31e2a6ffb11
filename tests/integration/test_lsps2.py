"""What LSPS2 offers and sells, by the numbers of docs/conformance.md. No payment is on its way here."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.parts import is_alias
from orders import actors
from orders.barring import BanKind
from orders.jit import ability, forgetting, selling
from orders.jit.promises import FeeParameters
from orders.models import Coupon, Heartbeat, JitPart, JitPurchase, NodeSnapshot, Service, SwitchName
from orders.operations import banning, pausing
from tests.factories import OrderFactory, ServiceFactory
from tests.integration.lsps2 import (
    FIELDS,
    INVALID,
    NO_METHOD,
    NOT_NOW,
    OTHER,
    PEER,
    REJECTED,
    TOKEN,
    TOO_LARGE,
    TOO_SMALL,
    ask,
    buy,
    code,
    menu,
    open_shop,
)

ADA = actors.staff("ada")


@pytest.fixture(autouse=True)
def shop(db: None, settings: Any, snapshot: NodeSnapshot) -> Service:
    """It sells channels just in time, and somebody hears of payments."""
    return open_shop(settings, snapshot)


def part(purchase: JitPurchase) -> JitPart:
    """A payment has come for it."""
    return JitPart.objects.create(
        purchase=purchase, chan_id="1", htlc_id=purchase.pk, payment_hash="ab" * 32, incoming_msat=1, incoming_expiry=9,
        outgoing_msat=1, outgoing_expiry=9, auto_fail_height=9, heard_at=timezone.now(),
    )  # fmt: skip


class TestWhetherItIsOn:
    def test_l0_15_its_number_is_told_where_all_that_it_needs_is_there(self) -> None:
        assert ask("lsps0.list_protocols")["result"] == {"protocols": [1, 2]}

    @pytest.mark.parametrize(
        "lacking", ["setting", "a test network", "service", "off sale", "zero-conf", "listener", "silent listener"]
    )
    def test_where_anything_is_lacking_there_is_no_such_method_and_nobody_is_told_of_it(
        self, lacking: str, settings: Any, shop: Service
    ) -> None:
        entry = menu()[0]
        match lacking:
            case "setting":
                settings.LSPS2_ENABLED = False
            case "a test network":
                settings.LND_NETWORK = "mainnet"
            case "service":
                Service.objects.update(sells_jit=False)
            case "off sale":
                Service.objects.update(on_sale=False)
            case "zero-conf":
                NodeSnapshot.objects.update(takes_zero_conf=False)
            case "listener":
                Heartbeat.objects.all().delete()
            case "silent listener":
                Heartbeat.objects.update(at=timezone.now() - timedelta(seconds=settings.HEARTBEAT_STALE_SECONDS + 1))
        assert ability.why_off()
        assert ask("lsps0.list_protocols")["result"] == {"protocols": [1]}
        assert ask("lsps2.get_info")["error"]["code"] == ask("lsps2.buy")["error"]["code"] == NO_METHOD
        assert selling.menu(PEER) == [] and buy(entry)["error"]["code"] == NO_METHOD

    def test_it_is_off_unless_somebody_turns_it_on(self) -> None:
        from lsp_site.declared import VARIABLES

        assert VARIABLES["LSPS2_ENABLED"].default == "off"
        assert Service().sells_jit is False

    @pytest.mark.parametrize("name", [SwitchName.SALES, SwitchName.OPENINGS])
    def test_while_staff_have_stopped_it_the_menu_is_empty_and_nothing_is_sold(self, name: SwitchName) -> None:
        entry = menu()[0]
        pausing.pause(name, reason="the disk is full", actor=ADA)
        assert menu() == []
        refusal = buy(entry)
        assert code(refusal) == NOT_NOW and "the disk is full" in refusal["error"]["data"]["message"]


class TestMenu:
    def test_l2_01_the_token_may_be_absent_null_or_empty(self) -> None:
        for params in ({}, {"token": None}, {"token": ""}):
            assert "result" in ask("lsps2.get_info", params)
            assert len(ask("lsps2.get_info", params, id="0" * 32)["result"]["opening_fee_params_menu"]) == 1

    @pytest.mark.parametrize("token", ["never given out", "PARTNER-2026"])
    def test_l2_01_a_code_that_brings_nothing_here_is_refused_and_not_passed_over(self, token: str) -> None:
        Coupon.objects.create(code="PARTNER-2026", discount_percent=25)
        assert code(ask("lsps2.get_info", {"token": token})) == TOKEN
        assert "result" in ask("lsps2.get_info", {"token": "btcpay-lsp-plugin"})  # only says who it is

    def test_l2_01_a_parameter_that_there_is_not_is_named(self) -> None:
        error = ask("lsps2.get_info", {"version": 1})["error"]
        assert (error["code"], error["data"]["unrecognized"]) == (INVALID, ["version"])

    def test_l2_02_an_entry_has_eight_fields_and_no_more(self) -> None:
        result = ask("lsps2.get_info")["result"]
        assert set(result) == {"opening_fee_params_menu"}
        assert [set(entry) for entry in result["opening_fee_params_menu"]] == [FIELDS]

    def test_l2_02_each_field_is_of_the_kind_that_a_strict_wallet_reads(self) -> None:
        entry = menu()[0]
        for name in ("min_fee_msat", "min_payment_size_msat", "max_payment_size_msat"):
            assert re.fullmatch("0|[1-9][0-9]*", entry[name])
        for name in ("proportional", "min_lifetime", "max_client_to_self_delay"):
            assert type(entry[name]) is int and 0 <= entry[name] < 2**32
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["valid_until"])

    def test_l2_03_it_holds_for_ten_minutes_at_least(self, settings: Any) -> None:
        settings.LSPS2_VALID_SECONDS = 600
        until = datetime.fromisoformat(menu()[0]["valid_until"])
        assert until >= timezone.now() + timedelta(seconds=600 - 2)

    def test_l2_04_there_is_one_entry_so_none_is_cheaper_than_the_one_before(self) -> None:
        assert len(menu()) == 1

    def test_l2_06_the_promise_is_short_printable_and_needs_no_escape(self) -> None:
        promise = menu()[0]["promise"]
        assert len(promise) <= 512 and re.fullmatch(r"[ !#-\[\]-~]+", promise)

    def test_the_price_is_the_services_and_what_the_funding_costs_now(self, shop: Service) -> None:
        NodeSnapshot.objects.update(estimate_sat_per_kw=1000)
        entry = menu()[0]
        assert int(entry["min_fee_msat"]) == (2_500 + 888) * 1000  # 222 vbytes at 4 sat
        assert (entry["proportional"], entry["min_lifetime"]) == (4_000, 4_320)
        assert int(entry["min_payment_size_msat"]) == 10_000_000
        Service.objects.update(jit_minimum_fee_sat=1, jit_rate_ppm=9, jit_lifetime_blocks=200)
        cheap = menu()[0]
        assert (int(cheap["min_fee_msat"]), cheap["proportional"], cheap["min_lifetime"]) == (889_000, 9, 200)

    def test_no_payment_is_offered_whose_channel_the_service_does_not_sell(self) -> None:
        Service.objects.update(max_channel_sat=520_000)
        assert int(menu()[0]["max_payment_size_msat"]) == 250_000_000
        Service.objects.update(max_channel_sat=100_000, jit_cushion_sat=90_000)
        assert menu() == []  # the smallest would be too large

    def test_a_service_that_does_not_sell_so_is_not_it_though_it_is_the_default(self, shop: Service) -> None:
        ServiceFactory(position=0, sells_jit=False, description="first")
        Service.objects.filter(pk=shop.pk).update(position=1)
        assert buy()["result"] and JitPurchase.objects.get().service_id == shop.pk


class TestBuy:
    def test_l2_12_the_answer_has_a_number_of_its_own_the_blocks_and_who_trusts_whom(self, settings: Any) -> None:
        settings.LSPS2_CLTV_BLOCKS = 100
        result = buy()["result"]
        assert set(result) == {"jit_channel_scid", "lsp_cltv_expiry_delta", "client_trusts_lsp"}
        assert (result["lsp_cltv_expiry_delta"], result["client_trusts_lsp"]) == (100, True)
        Service.objects.update(jit_client_trusts_lsp=False)
        assert buy()["result"]["client_trusts_lsp"] is False

    def test_l2_12_more_blocks_are_asked_for_than_lnd_asks_for(self) -> None:
        assert buy()["result"]["lsp_cltv_expiry_delta"] > 80

    def test_l0_20_l2_12_its_number_is_one_that_lnd_takes_for_an_alias_and_nobody_has_twice(self) -> None:
        told = {buy()["result"]["jit_channel_scid"] for _ in range(20)}
        assert len(told) == 20
        for name in told:
            block, index, output = map(int, name.split("x"))
            assert is_alias(block << 40 | index << 16 | output) and block >= 16_050_000

    def test_l2_12_a_number_that_somebody_has_is_not_given_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names = iter(["16050001x1x1", "16050001x1x1", "16050001x1x2"])
        monkeypatch.setattr(selling, "_short_channel_id", lambda: next(names))
        assert [buy()["result"]["jit_channel_scid"] for _ in range(2)] == ["16050001x1x1", "16050001x1x2"]

    def test_it_is_kept_for_the_peer_that_asked(self) -> None:
        name = buy(peer=OTHER)["result"]["jit_channel_scid"]
        assert JitPurchase.objects.get(scid=name).node_pubkey == OTHER

    @pytest.mark.parametrize(
        ("size_msat", "refusal"),
        [
            ("10000000", None),
            ("9999999", TOO_SMALL),
            ("1", TOO_SMALL),
            ("0", TOO_SMALL),
            ("4000000000", None),
            ("4000000001", TOO_LARGE),
            (str(2**64 - 1), TOO_LARGE),
        ],
    )
    def test_l2_09_10_a_payment_is_within_what_was_offered(self, size_msat: str, refusal: int | None) -> None:
        answer = buy(payment_size_msat=size_msat)
        assert ("result" in answer) if refusal is None else code(answer) == refusal

    def test_l2_10_all_of_it_must_not_be_our_fee(self) -> None:
        said = FeeParameters(10_000, 0, timezone.now(), 1, 1, 1, 10**9)
        selling.require_size(said, 11_000)
        with pytest.raises(selling.PaymentTooSmall):
            selling.require_size(said, 10_999)

    def test_l2_10_what_64_bits_do_not_hold_is_too_large(self) -> None:
        said = FeeParameters(0, 4_000, timezone.now(), 1, 1, 1, 2**64 - 1)
        with pytest.raises(selling.PaymentTooLarge):
            selling.require_size(said, 2**64 - 1)

    def test_l2_09_without_a_size_the_first_part_says_it(self) -> None:
        for given in (..., None):
            assert "result" in buy(payment_size_msat=given)
        assert set(JitPurchase.objects.values_list("payment_size_msat", flat=True)) == {None}

    def test_l2_11_more_than_our_channels_can_bring_is_too_large(self) -> None:
        NodeSnapshot.objects.update(remote_balance_sat=199_999)
        assert code(buy()) == TOO_LARGE
        NodeSnapshot.objects.update(remote_balance_sat=200_000)
        assert "result" in buy()

    def test_a_channel_that_we_have_no_coins_for_is_not_sold(self) -> None:
        NodeSnapshot.objects.update(spendable_sat=400_000, coin_sizes=None)
        assert code(buy()) == TOO_LARGE

    @pytest.mark.parametrize(
        "change",
        [
            {"opening_fee_params": ...},
            {"opening_fee_params": None},
            {"opening_fee_params": []},
            {"opening_fee_params": "x"},
            {"payment_size_msat": "1.5"},
            {"payment_size_msat": -1},
            {"payment_size_msat": True},
            {"payment_size_msat": str(2**64)},
            {"payment_size_msat": {}},
        ],
    )
    def test_l2_09_what_cannot_be_read_is_named(self, change: dict[str, Any]) -> None:
        error = buy(menu()[0], **change)["error"]
        assert (error["code"], error["data"]["property"]) == (INVALID, next(iter(change)))

    @pytest.mark.parametrize("name", sorted(FIELDS))
    @pytest.mark.parametrize("value", [None, [], "x" * 600, -1])
    def test_l2_08_a_field_that_cannot_be_read_is_named(self, name: str, value: Any) -> None:
        error = buy({**menu()[0], name: value})["error"]
        assert (error["code"], error["data"]["property"]) == (INVALID, name)

    @pytest.mark.parametrize("moment", ["2026-02-30T00:00:00.000Z", "0000-01-01T00:00:00Z", "2026-01-01", "now"])
    def test_l0_24_a_time_that_there_is_not_is_named(self, moment: str) -> None:
        error = buy({**menu()[0], "valid_until": moment})["error"]
        assert (error["code"], error["data"]["property"]) == (INVALID, "valid_until")

    def test_l2_08_a_field_that_there_is_not_is_named(self) -> None:
        error = buy({**menu()[0], "zzz": 1, "max_fee": 2})["error"]
        assert error["data"]["unrecognized"] == ["opening_fee_params.max_fee", "opening_fee_params.zzz"]
        error = buy(zzz=1)["error"]
        assert (error["code"], error["data"]["unrecognized"]) == (INVALID, ["zzz"])

    def test_l2_30_who_is_not_served_is_rejected(self) -> None:
        banning.add(BanKind.NODE, PEER, reason="asked for by the court of nowhere", actor=ADA)
        refusal = buy()
        assert code(refusal) == REJECTED and "court" not in str(refusal)
        assert "result" in buy(peer=OTHER)


class TestLimits:
    def test_l2_29_a_peer_buys_as_often_as_the_other_doors_let_it(self, settings: Any) -> None:
        settings.BUY_RATE = "1/h"
        assert "result" in buy()
        assert code(buy()) == REJECTED
        assert "result" in buy(peer=OTHER)

    def test_l2_29_l0_30_and_keeps_no_more_than_its_share_of_what_no_payment_came_for(self, settings: Any) -> None:
        settings.LSPS2_PURCHASES_PER_PEER = 2
        assert "result" in buy() and "result" in buy()
        assert code(buy()) == REJECTED
        assert "result" in buy(peer=OTHER)
        first = JitPurchase.objects.filter(node_pubkey=PEER)[0]
        part(first)
        assert code(buy()) == REJECTED  # a satoshi that went back has bought nothing
        JitPurchase.objects.filter(pk=first.pk).update(opened_at=timezone.now())
        assert "result" in buy()

    def test_l2_29_l0_30_all_together_are_bounded_too(self, settings: Any) -> None:
        settings.LSPS2_PURCHASES = 1
        assert "result" in buy() and "result" in buy(peer=OTHER)
        assert [purchase.node_pubkey for purchase in JitPurchase.objects.all()] == [OTHER]

    def test_l0_30_what_ended_counts_no_more_and_is_forgotten_a_day_later_unless_a_payment_came(
        self, settings: Any
    ) -> None:
        settings.LSPS2_PURCHASES_PER_PEER = 3
        for _ in range(3):
            buy()
        used, ended, _ = JitPurchase.objects.all()
        part(used)
        JitPurchase.objects.filter(pk__in=[used.pk, ended.pk]).update(
            valid_until=timezone.now() - timedelta(days=1, seconds=1)
        )
        assert "result" in buy() and "result" in buy()
        assert forgetting.forget() == 1
        assert not JitPurchase.objects.filter(pk=ended.pk).exists() and JitPurchase.objects.count() == 4


def test_no_order_comes_of_what_was_only_bought_and_no_coin_is_promised() -> None:
    buy()
    assert OrderFactory._meta.model.objects.count() == 0
