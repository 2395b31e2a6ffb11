"""What was promised of a funding sets its price and its fee, and when a child pays for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning import shared
from lightning.errors import OutcomeUnknown
from lightning.types import FeeRates
from lsps import lsps1
from orders import pricing
from orders.models import ChannelOrder, NodeSnapshot, WalletTransaction
from orders.openings import funding, publishing
from tests.factories import OrderFactory, SnapshotFactory
from tests.fakes import FakeNode
from tests.integration.lsps1 import ORDER
from tests.integration.test_lsps1_warnings import BUYER, by_lightning, by_rest


class Estimating(FakeNode):
    """Remembers for how many blocks it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[int] = []

    def fee_rates(self, *, conf_target: int, seconds: float = 15.0) -> FeeRates:
        self.targets.append(conf_target)
        return super().fee_rates(conf_target=conf_target)


@pytest.mark.parametrize(
    ("within", "hours", "targets"), [(None, 0, [3]), (144, 0, [144, 3]), (144, 2, [132, 3]), (144, 30, [3])]
)
def test_l1_75_the_node_is_asked_for_the_blocks_that_are_left(
    db: None, within: int | None, hours: int, targets: list[int]
) -> None:
    paid_at = timezone.now() - timedelta(hours=hours, seconds=5)
    order = OrderFactory(uri_set=True, paid_at=paid_at, funding_confirms_within_blocks=within)
    node: Any = Estimating()
    funding.obstacle(order, order.capacity_sat, node)
    assert node.targets == targets


def test_l1_75_a_node_that_cannot_look_so_far_ahead_makes_no_funding_dearer_than_usual(db: None) -> None:
    """LND tells 25 sat/vB where its source has no estimate."""
    order = OrderFactory(uri_set=True, paid_at=timezone.now(), funding_confirms_within_blocks=288)
    node: Any = Estimating()
    node.fee_rates = lambda *, conf_target: FeeRates(6_250 if conf_target > 100 else 498, 253)
    assert funding._rates(order, order.capacity_sat, node).estimate_sat_per_kw == 498


#: What the node estimates (sat/kW) for so many blocks.
MARKET = {3: 20_000, 6: 10_000, 144: 500}


class Market(Estimating):
    """Who is in a hurry pays more."""

    def fee_rates(self, *, conf_target: int, seconds: float = 15.0) -> FeeRates:
        super().fee_rates(conf_target=conf_target)
        return FeeRates(estimate_sat_per_kw=MARKET[conf_target], minimum_sat_per_kw=253)


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch, db: None) -> Market:
    node = Market()
    monkeypatch.setattr("lightning.connection.node", lambda: node)
    SnapshotFactory(estimate_sat_per_kw=MARKET[3])
    return node


def opening_fee_sat(door: Any, within: int) -> int:
    """What is in the price of the funding; both doors tell its sum alone."""
    told = door("create_order", **{**ORDER, "public_key": BUYER, "funding_confirms_within_blocks": within})
    order = ChannelOrder.objects.get(pk=told["order_id"])
    assert told["payment"]["bolt11"]["fee_total_sat"] == str(order.fee_total_sat)
    return order.open_fee_sat


@pytest.mark.parametrize("door", [by_rest, by_lightning])
def test_l1_75_a_tighter_promise_costs_the_fee_of_so_many_blocks(market: Market, door: Any) -> None:
    for within, sat_per_kw in MARKET.items():
        assert opening_fee_sat(door, within) == pricing.chain_fee_sat(pricing.OPEN_VBYTES, sat_per_kw)
    assert market.targets == [6, 144]  # what is as usual is known


@pytest.mark.parametrize("door", [by_rest, by_lightning])
def test_l1_75_what_each_chain_part_of_the_price_assumes_is_told_and_accounts_for_it(market: Market, door: Any) -> None:
    order_id = door("create_order", **{**ORDER, "public_key": BUYER, "funding_confirms_within_blocks": 144})["order_id"]
    price = door("get_order", order_id=order_id)["price"]
    assert (price["sat_per_kw"], price["opening_sat_per_kw"]) == (MARKET[3], MARKET[144])
    for part, rate in (("opening", "opening_sat_per_kw"), ("closing", "sat_per_kw")):
        assert int(price[f"{part}_fee_sat"]) == pricing.chain_fee_sat(price[f"{part}_vbytes"], price[rate])


def test_of_an_order_that_does_not_know_it_no_rate_of_the_opening_is_told(db: None) -> None:
    price = lsps1._price(OrderFactory(open_sat_per_kw=None).quote)
    assert (price["opening_sat_per_kw"], price["opening_vbytes"]) == (None, None)


@pytest.mark.parametrize("door", [by_rest, by_lightning])
def test_l1_75_a_later_one_is_never_dearer_and_where_the_node_does_not_tell_it_costs_as_usual(
    market: Market, door: Any
) -> None:
    usual_sat = opening_fee_sat(door, 3)
    market.fails_at["fee_rates"] = OutcomeUnknown("late")
    assert opening_fee_sat(door, 144) == usual_sat
    market.fails_at.clear()
    NodeSnapshot.objects.update(estimate_sat_per_kw=400)
    assert opening_fee_sat(door, 144) == pricing.chain_fee_sat(pricing.OPEN_VBYTES, 400)


def test_l1_75_who_buys_at_about_the_same_time_is_told_the_same_estimate_and_a_later_buyer_another(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_sat = opening_fee_sat(by_rest, 144)
    monkeypatch.setitem(MARKET, 144, 600)
    assert opening_fee_sat(by_rest, 144) == first_sat and market.targets == [144]
    monkeypatch.setattr(shared, "_FEE_SECONDS", 0.0)
    assert opening_fee_sat(by_rest, 144) == pricing.chain_fee_sat(pricing.OPEN_VBYTES, 600)


def test_l1_75_a_shared_estimate_pays_for_no_funding(market: Market) -> None:
    shared.fee_rates(144, market, seconds=1.0)  # type: ignore[arg-type]
    order = OrderFactory(uri_set=True, paid_at=timezone.now(), funding_confirms_within_blocks=144)
    node: Any = market
    funding.obstacle(order, order.capacity_sat, node)
    assert market.targets == [144, 144, 3]


def test_l1_75_what_is_sold_for_later_is_sold_while_others_are_too_dear_to_fund(market: Market, settings: Any) -> None:
    settings.MAX_FUNDING_FEE_SAT = 1_000
    asked = {**ORDER, "public_key": BUYER}
    assert by_rest("create_order", **{**asked, "funding_confirms_within_blocks": 3})["error"]["code"] == -32000
    assert by_rest("create_order", **{**asked, "funding_confirms_within_blocks": 144})["order_id"]


@pytest.mark.parametrize(
    ("hours", "budget_sat", "paid_for", "targets"),
    [(0, 5_000, 144, [144, 3]), (30, 5_000, 144, [3, 144, 3]), (30, 50_000, 3, [3])],
)
def test_l1_75_a_buyer_who_is_away_gets_no_dearer_funding_than_his_order_bears(
    market: Market, hours: int, budget_sat: int, paid_for: int, targets: list[int]
) -> None:
    paid_at = timezone.now() - timedelta(hours=hours, seconds=5)
    order = OrderFactory(uri_set=True, paid_at=paid_at, funding_confirms_within_blocks=144, fee_budget_sat=budget_sat)
    node: Any = market
    assert funding.obstacle(order, order.capacity_sat, node) is None
    assert market.targets == targets
    assert funding._rates(order, order.capacity_sat, node).estimate_sat_per_kw == MARKET[paid_for]


@pytest.mark.parametrize(
    ("within", "unmined_hours", "is_bumped"),
    [(None, 1.9, False), (None, 2.1, True), (144, 11.9, False), (144, 12.1, True), (6, 0.4, False), (6, 0.6, True)],
)
def test_l1_75_an_unmined_funding_gets_its_child_in_time(
    db: None, monkeypatch: pytest.MonkeyPatch, within: int | None, unmined_hours: float, is_bumped: bool
) -> None:
    order = OrderFactory(opening=True, funding_confirms_within_blocks=within)
    published_at = timezone.now() - timedelta(hours=unmined_hours)
    WalletTransaction.objects.update(published_at=published_at)
    bumped: list[int] = []
    monkeypatch.setattr(
        "orders.wallet.broadcasting.bump", lambda sent, node, *, budget_sat: bumped.append(budget_sat) or ""
    )
    node: Any = FakeNode()
    publishing._bump(ChannelOrder.objects.get(), WalletTransaction.objects.get(), node)
    assert bool(bumped) is is_bumped
    assert order.events.filter(cause="funding_bumped").exists() is is_bumped
