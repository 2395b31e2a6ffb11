"""What was promised of a funding sets its fee, and when a child pays for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.types import FeeRates
from orders.models import ChannelOrder, WalletTransaction
from orders.openings import funding, publishing
from tests.factories import OrderFactory
from tests.fakes import FakeNode


class Estimating(FakeNode):
    """Remembers for how many blocks it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[int] = []

    def fee_rates(self, *, conf_target: int) -> FeeRates:
        self.targets.append(conf_target)
        return super().fee_rates(conf_target=conf_target)


@pytest.mark.parametrize(("within", "hours", "target"), [(None, 0, 3), (144, 0, 144), (144, 2, 132), (144, 30, 3)])
def test_l1_75_the_node_is_asked_for_the_blocks_that_are_left(
    db: None, within: int | None, hours: int, target: int
) -> None:
    paid_at = timezone.now() - timedelta(hours=hours, seconds=5)
    order = OrderFactory(uri_set=True, paid_at=paid_at, funding_confirms_within_blocks=within)
    node: Any = Estimating()
    funding.obstacle(order, order.capacity_sat, node)
    assert node.targets == [target]


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
