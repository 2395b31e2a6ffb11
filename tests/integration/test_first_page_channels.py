"""The channels that the first page counts: those that stand, and those that were closed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from orders import dashboard, figures
from orders.models import ChannelOpening, NodeSnapshot
from tests.factories import OrderFactory
from tests.integration.staff import seen

pytestmark = pytest.mark.django_db


def test_the_channels_that_stand_are_counted_as_their_lists_have_them(snapshot: NodeSnapshot, boss: Client) -> None:
    now = timezone.now()
    for days in (1, 6, 8):
        OrderFactory(open=True, lease_ends_at=now + timedelta(days=days))
    OrderFactory(open=True, lease_ends_at=now - timedelta(days=1), lease_ends_height=1)
    OrderFactory(opening=True), OrderFactory(closing=True), OrderFactory(expired=True)
    [group] = [each for each in dashboard.dashboard({}, now)["groups"] if each.name == "channels"]
    told = {bar.label: int(bar.value) for bar in group.bars}
    assert list(told.values()) == [4, 2, 1, 1, 1]
    for bar in group.bars:
        assert boss.get(bar.url).context["cl"].result_count == told[bar.label], bar


def test_without_any_channel_none_is_drawn(snapshot: NodeSnapshot, boss: Client) -> None:
    OrderFactory()
    assert "No channel that was sold stands." in seen(boss.get("/admin/"))


def test_closes_are_counted_by_who_closed_and_whether_the_lease_had_ended() -> None:
    now = timezone.now()
    kinds = (("local_force_close", 9), ("remote_force_close", 9), ("cooperative_close", -1), ("a new one", 9), ("", 9))
    for kind, days in kinds:
        order = OrderFactory(closed=True, lease_ends_at=now + timedelta(days=days), closed_at=now)
        ChannelOpening.objects.filter(order=order).update(close_type=kind)
    OrderFactory(closed=True, closed_at=now - timedelta(days=3))
    found = figures.closings(figures.Period(now - timedelta(days=1), now + timedelta(days=1)))
    told = {each.by: (each.closed, each.early) for each in found}
    assert told == {"us": (1, 1), "peer": (1, 1), "together": (1, 0), "unknown": (2, 2)}
