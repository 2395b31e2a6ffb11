"""What chain fees can cost us: never more than an order has paid for them, however they move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from orders import queries, reconcile
from orders.models import ChannelOrder, WalletTransaction
from orders.openings import funding
from orders.wallet import budget
from tests.property import records
from tests.property.inside import Loop
from tests.simulator.chain_fees import HOUR, USUAL_SAT_PER_KW, FeeShop, open_shop

pytestmark = pytest.mark.django_db(transaction=True)
SPIKE = 300


@pytest.fixture
def shop(loop: Loop, settings: Any) -> Iterator[FeeShop]:
    with open_shop(loop, settings, coins=30) as shop:
        yield shop


def without_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the ceiling of a single funding is left."""
    objection = budget.objection
    monkeypatch.setattr(budget, "objection", lambda left_sat, *given, **named: objection(10**12, *given, **named))


def test_found_a3_a_claim_in_a_spike_waits_and_opens_once_fees_have_fallen(shop: FeeShop) -> None:
    quote = shop.paid()
    shop.fees(60 * USUAL_SAT_PER_KW)  # 600 sat/vbyte: the funding alone would cost more than the order paid
    shop.claim(quote)
    shop.turns(blocks=2)
    order = shop.order(quote)
    assert (order.state, order.last_failure_reason) == ("uri_set", "FEE_ABOVE_BUDGET")
    assert order.openings.count() == 0 and not order.needs_staff  # no peer was troubled, and nobody has to come
    assert shop.seen(quote)["channel_open_error"] == "FEE_ABOVE_BUDGET"
    shop.fees(USUAL_SAT_PER_KW)
    shop.network.mine(1)
    reconcile.new_block(shop.node)
    assert order.pk in queries.due_ids(timezone.now())  # a block is reason enough to look
    shop.opened(quote)
    assert shop.spent_sat(order.pk) <= order.fee_budget_sat <= order.fee_total_sat


def test_control_without_the_budget_an_order_costs_many_times_what_it_paid(
    shop: FeeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_a_budget(monkeypatch)
    quote = shop.paid()
    shop.fees(60 * USUAL_SAT_PER_KW)
    shop.claim(quote)
    shop.opened(quote)
    order = shop.order(quote)
    assert shop.spent_sat(order.pk) > 10 * order.fee_total_sat


def test_found_a3_at_its_deadline_an_order_above_its_budget_gives_up_and_the_payment_goes_back(shop: FeeShop) -> None:
    quote = shop.paid()
    shop.fees(SPIKE * USUAL_SAT_PER_KW)
    shop.claim(quote)
    shop.turns(blocks=1)
    records.age(13 * HOUR)
    shop.turns()
    assert shop.seen(quote)["give_up_reason"] == "FEE_ABOVE_BUDGET"
    records.age(HOUR)
    shop.turns()
    assert shop.order(quote).state == "refunded"
    assert not WalletTransaction.objects.exists()


def test_found_a3_fees_that_rise_while_the_peer_answers_end_the_attempt_before_anything_is_signed(
    shop: FeeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(funding, "obstacle", lambda *given: None)  # they rose after the look
    quote = shop.paid()
    shop.fees(60 * USUAL_SAT_PER_KW)
    shop.claim(quote)
    shop.turns()
    [attempt] = shop.order(quote).openings.all()
    assert (attempt.state, attempt.failure_reason) == ("failed", "FEE_ABOVE_BUDGET")
    assert not WalletTransaction.objects.exists()
    shop.assert_nothing_left(quote)


def test_found_a3_a_bump_costs_no_more_than_the_budget_has_left(shop: FeeShop, settings: Any) -> None:
    settings.BUMP_AFTER_SECONDS = 0
    quote = shop.paid()
    shop.claim(quote)
    shop.turns()
    shop.fees(SPIKE * USUAL_SAT_PER_KW)
    shop.turns()
    assert "funding_bumped" in shop.journal(quote)
    shop.opened(quote)
    order = shop.order(quote)
    funding_sat = WalletTransaction.objects.get(kind="funding").fee_sat
    assert funding_sat < shop.spent_sat(order.pk) <= order.fee_budget_sat


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [12, pytest.param(100, marks=pytest.mark.long)])
def test_found_a3_a_hundred_orders_in_a_spike_lose_nothing(loop: Loop, settings: Any, count: int) -> None:
    with open_shop(loop, settings, coins=count + 10) as shop:
        quotes = [shop.paid(local_balance=100_000 + 5_000 * number) for number in range(count)]
        shop.fees(SPIKE * USUAL_SAT_PER_KW)
        for quote in quotes:
            shop.claim(quote)
        shop.turns(blocks=1)
        assert not WalletTransaction.objects.exists()
        waiting = ChannelOrder.objects.filter(state="uri_set", last_failure_reason="FEE_ABOVE_BUDGET")
        assert waiting.count() == count
        shop.fees(USUAL_SAT_PER_KW * 13 // 10)
        orders = ChannelOrder.objects.filter(state__in=["opening", "open"])
        shop.turns(blocks=8, until_true=lambda: orders.count() == count)  # a peer takes fifty pending channels
        shop.network.mine(1)
        costs = {order.pk: shop.spent_sat(order.pk) for order in orders}
        assert len(costs) == count and all(0 < costs[order.pk] <= order.fee_budget_sat for order in orders)
        assert sum(costs.values()) < sum(order.fee_total_sat for order in orders)
