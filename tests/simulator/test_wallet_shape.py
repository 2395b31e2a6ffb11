"""A channel is priced by the coins that will pay for it, and not sold where they cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orders import pricing, reconcile
from orders.models import ChannelOrder, Reservation, WalletTransaction
from orders.operations import selling
from orders.states import Firmness
from tests.property.inside import Loop
from tests.simulator.chain_fees import USUAL_SAT_PER_KW, FeeShop, open_shop
from tests.simulator.test_chain_fees import without_a_budget

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def small(loop: Loop, settings: Any) -> Iterator[FeeShop]:
    """200 coins of 10,000 sat."""
    with open_shop(loop, settings, coins=200, coin_sat=10_000) as shop:
        yield shop


def asked(shop: FeeShop, capacity_sat: int) -> Any:
    body = {"local_balance": capacity_sat, "remote_balance": 0, "channel_expiry": 4}
    return shop.client.post("/channel/buy", body, content_type="application/json")


def test_found_a4_many_small_coins_sell_for_what_their_funding_costs(small: FeeShop) -> None:
    quote = small.paid(local_balance=1_000_000)
    order = small.order(quote)
    assert order.open_fee_sat > 74_000 and quote["price"] > 74_000
    small.claim(quote)
    small.opened(quote)
    assert small.spent_sat(order.pk) == pytest.approx(order.open_fee_sat, rel=0.001)
    assert small.spent_sat(order.pk) <= order.fee_budget_sat <= order.fee_total_sat
    assert len(WalletTransaction.objects.get().inputs) == 108


def test_control_by_face_value_the_same_channel_sells_for_a_tenth_of_its_cost(
    small: FeeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_a_budget(monkeypatch)
    monkeypatch.setattr(selling, "open_vbytes", lambda *given: pricing.OPEN_VBYTES)
    quote = small.paid(local_balance=1_000_000)
    assert quote["price"] == 7_120
    small.claim(quote)
    small.opened(quote)
    assert small.spent_sat(small.order(quote).pk) > 74_000


def test_found_a4_what_the_coins_could_never_fund_is_not_sold(small: FeeShop, settings: Any) -> None:
    settings.MAX_FUNDING_FEE_SAT = 10**8
    small.fees(5 * USUAL_SAT_PER_KW)
    reconcile.look(small.node)
    answer = asked(small, 1_900_000)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
        503,
        "not_available",
        "local_balance",
    )
    assert "too small for a channel of this size" in answer.json()["error"]
    assert not ChannelOrder.objects.exists()
    assert asked(small, 100_000).status_code == 200


def test_control_by_face_value_what_can_never_be_funded_is_sold(
    small: FeeShop, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selling, "open_vbytes", lambda *given: pricing.OPEN_VBYTES)
    monkeypatch.setattr(selling, "require_fundable", lambda *given: None)
    settings.MAX_FUNDING_FEE_SAT = 10**8
    small.fees(5 * USUAL_SAT_PER_KW)
    reconcile.look(small.node)
    quote = small.paid(local_balance=1_900_000)
    small.claim(quote)
    small.turns(blocks=3)
    assert small.order(quote).last_failure_reason == "INSUFFICIENT_FUNDS"


def test_found_a4_a_fee_above_the_ceiling_is_refused_at_the_purchase(small: FeeShop) -> None:
    assert asked(small, 1_500_000).status_code == 503  # 162 coins: some 112,000 sat, and the ceiling is 100,000
    assert asked(small, 1_200_000).status_code == 200


def test_found_a4_the_coins_that_are_promised_are_not_priced_again(small: FeeShop) -> None:
    """They are all alike here: what is left runs out, and is never sold twice."""
    small.buy(local_balance=900_000)
    assert asked(small, 900_000).status_code == 200
    Reservation.objects.update(firmness=Firmness.REACHED)  # both have paid, and named nodes that are there
    assert asked(small, 100_000).status_code == 503
    [service] = small.get("/node/info")["services"]
    assert service["available"] is False


def test_found_a4_node_info_says_that_nothing_can_be_sold_where_coins_cost_what_they_bring(small: FeeShop) -> None:
    assert small.get("/node/info")["services"][0]["available"] is True
    small.fees(60 * USUAL_SAT_PER_KW)  # an input of such a coin costs more than the coin
    reconcile.look(small.node)
    assert small.get("/node/info")["services"][0]["available"] is False
    assert asked(small, 100_000).status_code == 503
