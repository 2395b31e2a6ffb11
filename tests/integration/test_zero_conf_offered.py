"""No confirmations are offered where our node can make such channels, and promised as they were asked for."""

from __future__ import annotations

from uuid import UUID

import pytest

from orders.models import NodeSnapshot
from orders.openings import terms
from orders.queries import order_or_raise
from tests.fakes import FakeNode
from tests.integration.lsps1 import MISMATCH, Wallet, refused

pytestmark = pytest.mark.django_db


def test_where_our_node_cannot_one_confirmation_is_the_least(snapshot: NodeSnapshot, node: FakeNode) -> None:
    wallet = Wallet()
    assert wallet.get_info().said["min_required_channel_confirmations"] == 1
    answer = wallet.create_order(required_channel_confirmations=0)
    assert refused(answer) == (MISMATCH, "min_required_channel_confirmations")


def test_where_our_node_can_none_are_asked_for_and_told(snapshot: NodeSnapshot, node: FakeNode) -> None:
    NodeSnapshot.objects.update(takes_zero_conf=True)
    wallet = Wallet()
    assert wallet.get_info().said["min_required_channel_confirmations"] == 0
    said = wallet.create_order(required_channel_confirmations=0).said
    assert said["required_channel_confirmations"] == 0
    assert wallet.get_order(said["order_id"]).said["required_channel_confirmations"] == 0
    assert terms.of(order_or_raise(UUID(said["order_id"]))).zero_conf
