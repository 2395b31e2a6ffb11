"""Who buys by LSPS2: what shipped wallets ask of an offer, and what a promise commits us to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from orders.jit.promises import FeeParameters
from orders.models import JitPurchase, NodeSnapshot, Service
from orders.opening_fee import Fee
from tests.factories import ServiceFactory
from tests.integration.lsps2 import (
    FIELDS,
    NOT_PROMISED,
    OTHER,
    PEER,
    buy,
    code,
    menu,
    open_shop,
)


@pytest.fixture(autouse=True)
def shop(db: None, settings: Any, snapshot: NodeSnapshot) -> Service:
    """It sells channels just in time, and somebody hears of payments."""
    return open_shop(settings, snapshot)


#: What Alby Hub asks of an offer: no more than a tenth of the payment, or 5,000 sat where that is more; and no more
#: than the worst of the menu that it has seen. What ldk-node asks: a fee that it can reckon, below the payment.
PAYMENTS_SAT = [10_000, 25_000, 50_000, 100_000, 1_000_000, 4_000_000]


class TestClientsRules:
    @pytest.mark.parametrize("sat_per_kw", [253, 1_000, 2_500, 10_000, 50_000, 250_000])
    def test_alby_hub_finds_the_fee_fair_for_every_payment_that_is_offered(self, sat_per_kw: int) -> None:
        NodeSnapshot.objects.update(estimate_sat_per_kw=sat_per_kw)
        entry = menu()[0]
        least, most = int(entry["min_payment_size_msat"]), int(entry["max_payment_size_msat"])
        offered = [sat * 1000 for sat in PAYMENTS_SAT if least <= sat * 1000 <= most]
        for payment_msat in {least, *offered, most}:
            fee_msat = Fee(int(entry["min_fee_msat"]), entry["proportional"]).of(payment_msat)
            assert fee_msat <= max(5_000_000, payment_msat // 10)
            assert payment_msat - fee_msat >= 1_000

    def test_alby_hub_buys_by_a_menu_that_it_has_seen_a_minute_ago_whatever_the_chain_costs_now(self) -> None:
        entry = menu()[0]
        NodeSnapshot.objects.update(estimate_sat_per_kw=250_000)
        assert "result" in buy(entry)
        assert JitPurchase.objects.get().min_fee_msat == int(entry["min_fee_msat"])

    def test_ldk_node_buys_with_a_time_that_it_has_written_anew(self) -> None:
        entry = menu()[0]
        assert entry["valid_until"].endswith(".000Z")
        for written in (entry["valid_until"].replace(".000Z", "Z"), entry["valid_until"].replace(".000Z", "+00:00")):
            answer = buy({**entry, "valid_until": written}, id="0" * 32, payment_size_msat=None)
            assert "result" in answer, answer

    def test_ldk_node_reads_a_refusal_that_has_no_object_for_data(self) -> None:
        error = buy({**menu()[0], "min_fee_msat": "1"}, id="0" * 32)["error"]
        assert error["code"] == NOT_PROMISED and "data" not in error and "promised" in error["message"]


class TestPromise:
    def test_l2_05_08_what_was_promised_is_sold_for_that(self) -> None:
        entry = menu()[0]
        assert "result" in buy(entry)
        bought = JitPurchase.objects.get()
        assert bought.min_fee_msat == int(entry["min_fee_msat"])
        assert bought.valid_until == datetime.fromisoformat(entry["valid_until"])

    @pytest.mark.parametrize("name", sorted(FIELDS - {"promise", "valid_until"}))
    @pytest.mark.parametrize("by", [-1, 1])
    def test_l2_05_08_not_one_number_of_it_may_be_another(self, name: str, by: int) -> None:
        entry = menu()[0]
        changed = type(entry[name])(int(entry[name]) + by)
        assert code(buy({**entry, name: changed})) == NOT_PROMISED
        assert not JitPurchase.objects.exists()

    def test_l2_05_a_number_may_be_written_otherwise(self) -> None:
        entry = menu()[0]
        assert "result" in buy({**entry, "min_fee_msat": int(entry["min_fee_msat"]), "proportional": "4000"})

    def test_l2_05_nor_may_its_end_be_later_nor_somebody_elses_be_shown(self) -> None:
        entry = menu()[0]
        later = datetime.fromisoformat(entry["valid_until"]) + timedelta(seconds=1)
        assert code(buy({**entry, "valid_until": later.isoformat().replace("+00:00", "Z")})) == NOT_PROMISED
        assert code(buy(entry, peer=OTHER)) == NOT_PROMISED

    @pytest.mark.parametrize("promise", ["x", "0" * 512, f"{'0' * 32}.{'0' * 64}", "é" * 20])
    def test_l2_05_nobody_makes_one_up(self, promise: str) -> None:
        assert code(buy({**menu()[0], "promise": promise})) == NOT_PROMISED

    def test_l2_05_another_secret_promises_something_else(self, settings: Any) -> None:
        entry = menu()[0]
        settings.SECRET_KEY = "another" * 10
        assert code(buy(entry)) == NOT_PROMISED

    def test_l2_05_what_one_service_promised_another_does_not_sell(self) -> None:
        other = ServiceFactory(sells_jit=True, position=1)
        entry = menu()[0]
        mac = entry["promise"].partition(".")[2]
        assert code(buy({**entry, "promise": f"{other.pk.hex}.{mac}"})) == NOT_PROMISED

    def test_l2_08_what_ended_is_not_sold_any_more(self) -> None:
        entry = menu()[0]
        said = FeeParameters(
            int(entry["min_fee_msat"]), entry["proportional"], timezone.now().replace(microsecond=0).astimezone(UTC),
            entry["min_lifetime"], entry["max_client_to_self_delay"], int(entry["min_payment_size_msat"]),
            int(entry["max_payment_size_msat"]),
        )  # fmt: skip
        from orders.jit.promises import promise

        over = {**entry, "valid_until": said.valid_until.isoformat().replace("+00:00", "Z")}
        over["promise"] = promise(said, peer=PEER, service_id=Service.objects.get().pk)
        assert code(buy(over)) == NOT_PROMISED

    def test_l2_08_nor_is_what_staff_have_taken_off_sale(self, shop: Service) -> None:
        entry = menu()[0]
        ServiceFactory(sells_jit=True)
        Service.objects.filter(pk=shop.pk).update(on_sale=False)
        assert code(buy(entry)) == NOT_PROMISED
