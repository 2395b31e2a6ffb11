"""A quote's chain fees hold for its time: a deposit that counts only later is judged by what they are then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as configured

from orders import actors
from orders.operations import ending
from orders.payments import judging
from tests.property import records
from tests.property.inside import Loop
from tests.property.refunds import somewhere
from tests.simulator.chain_fees import USUAL_SAT_PER_KW, FeeShop, open_shop

pytestmark = pytest.mark.django_db(transaction=True)
LATE = 1 + 900


@pytest.fixture
def shop(loop: Loop, settings: Any) -> Iterator[FeeShop]:
    with open_shop(loop, settings) as shop:
        yield shop


def paid_in_time_and_mined_late(shop: FeeShop, sat_per_kw: int) -> dict[str, Any]:
    """The deposit was seen in time, and waits for its block until fees are what they are."""
    quote = shop.buy()
    shop.control.deposit((quote["btc_address"], quote["total_amount"]))
    shop.turns()
    assert shop.seen(quote)["onchain_payments"]
    shop.control.pass_time(LATE)
    records.age(LATE)
    shop.turns()
    assert shop.order(quote).state == "created"  # it is on its way
    shop.fees(sat_per_kw)
    shop.turns(blocks=3)
    return quote


def paid_late(shop: FeeShop, sat_per_kw: int, *, first_sat: int = 0) -> dict[str, Any]:
    """All of it, or all but the first part, was sent when the order had ended and fees were what they are."""
    quote = shop.buy(refund_onchain_address=somewhere("late"))
    if first_sat:
        shop.control.deposit((quote["btc_address"], first_sat))
        shop.turns()
    shop.control.pass_time(LATE)
    records.age(LATE)
    shop.turns(blocks=3)
    assert shop.order(quote).state == "expired"
    shop.fees(sat_per_kw)
    shop.control.deposit((quote["btc_address"], quote["total_amount"] - first_sat))
    shop.turns(blocks=3)
    return quote


def test_a_quote_and_its_invoice_end_with_the_time_of_its_chain_fees(shop: FeeShop) -> None:
    assert configured.ORDER_LIFETIME_SECONDS == LATE - 1
    quote = shop.buy()
    order = shop.order(quote)
    assert (order.expires_at - order.created_at).total_seconds() == pytest.approx(LATE - 1, abs=1)
    shop.control.pass_time(LATE)
    shop.turns()
    assert shop.node.invoice(order.hold_invoice.payment_hash).state == "canceled"


def test_a_late_deposit_counts_where_fees_have_hardly_risen(shop: FeeShop) -> None:
    quote = paid_in_time_and_mined_late(shop, USUAL_SAT_PER_KW * 12 // 10)
    assert shop.order(quote).state == "paid"


def test_a_late_deposit_does_not_count_at_much_higher_fees_and_a_person_decides(shop: FeeShop) -> None:
    quote = paid_in_time_and_mined_late(shop, 10 * USUAL_SAT_PER_KW)
    order = shop.order(quote)
    assert (order.state, order.standing[0].kind) == ("expired", "ended_with_deposits")
    assert "outpriced" in shop.journal(quote)
    ending.revive(order.pk, actor=actors.staff("ada"))
    assert shop.order(quote).state == "paid"


@pytest.mark.parametrize(("percent", "state"), [(101, "paid"), (103, "expired")])
def test_what_was_sent_late_buys_where_today_asks_for_a_hundredth_more_of_the_price_at_most(
    shop: FeeShop, percent: int, state: str
) -> None:
    """Control: two hundredths more are too much."""
    quote = paid_late(shop, USUAL_SAT_PER_KW * percent // 100)
    order = shop.order(quote)
    assert (judging.fee_today_sat(order) * 100 > 101 * order.fee_total_sat) is (state == "expired")
    assert order.state == state


def test_what_was_sent_late_and_costs_more_by_now_goes_back_by_itself(shop: FeeShop) -> None:
    quote = paid_late(shop, USUAL_SAT_PER_KW * 12 // 10)
    shop.turns(blocks=12, until_true=lambda: shop.order(quote).state == "refunded")
    assert shop.order(quote).refunds.get().amount_sat == quote["total_amount"]


def test_of_what_came_in_parts_the_last_says_whether_it_was_in_time(shop: FeeShop) -> None:
    quote = paid_late(shop, USUAL_SAT_PER_KW * 12 // 10, first_sat=1_000)
    assert shop.order(quote).state == "expired"


def test_a_deposit_that_counts_in_time_counts_whatever_fees_are(shop: FeeShop) -> None:
    quote = shop.buy()
    shop.control.deposit((quote["btc_address"], quote["total_amount"]))
    shop.fees(10 * USUAL_SAT_PER_KW)
    shop.turns(blocks=1)
    assert shop.order(quote).state == "paid"


def test_control_unjudged_a_late_deposit_is_taken_for_a_channel_that_cannot_be_opened(
    shop: FeeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "is_outpriced", lambda *given: False)
    quote = paid_in_time_and_mined_late(shop, 10 * USUAL_SAT_PER_KW)
    assert shop.order(quote).state == "paid"
    shop.claim(quote)
    shop.turns(blocks=1)
    assert shop.order(quote).last_failure_reason == "FEE_ABOVE_BUDGET"
