"""Only what is news nudges: a nudge ends the pause of an order that waits after a failure."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from lightning.types import ChannelEvent, NodeInvoiceState, Outpoint
from orders.models import ChannelOrder
from streams import hints
from tests.factories import OrderFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def later() -> datetime:
    return timezone.now() + timedelta(hours=1)


def is_nudged(order: ChannelOrder) -> bool:
    order.refresh_from_db()
    return order.due_at is not None and order.due_at <= timezone.now()


def test_a_payment_that_arrives_nudges_its_unpaid_order(later: datetime) -> None:
    order = OrderFactory.create(due_at=later)
    assert not hints.invoice_changed(order.pk, NodeInvoiceState.OPEN)
    assert not is_nudged(order)
    assert hints.invoice_changed(order.pk, NodeInvoiceState.ACCEPTED)
    assert is_nudged(order)


def test_a_payment_that_we_know_to_be_held_does_not_end_a_pause(later: datetime) -> None:
    order = OrderFactory.create(uri_set=True, due_at=later)
    assert not hints.invoice_changed(order.pk, NodeInvoiceState.ACCEPTED)
    assert not is_nudged(order)


def test_a_payment_that_the_node_gave_back_by_itself_nudges(later: datetime) -> None:
    order = OrderFactory.create(uri_set=True, due_at=later)
    hints.invoice_changed(order.pk, NodeInvoiceState.CANCELED)
    assert is_nudged(order)


def channel_of(order: ChannelOrder) -> Outpoint:
    return Outpoint.parse(order.openings.get().funding_outpoint)


@pytest.mark.parametrize("kind", ["open_channel", "active_channel"])
def test_a_channel_that_becomes_usable_nudges_the_order_that_waits_for_it(kind: str, later: datetime) -> None:
    order = OrderFactory.create(opening=True, due_at=later)
    hints.channel_changed(ChannelEvent(kind, channel_of(order)))
    assert is_nudged(order)


def test_a_peer_that_comes_back_to_its_open_channel_nudges_nobody(later: datetime) -> None:
    order = OrderFactory.create(open=True, due_at=later)
    hints.channel_changed(ChannelEvent("active_channel", channel_of(order)))
    assert not is_nudged(order)
    hints.channel_changed(ChannelEvent("closed_channel", channel_of(order)))
    assert is_nudged(order)


def test_another_output_of_the_funding_is_another_channel(later: datetime) -> None:
    order = OrderFactory.create(opening=True, due_at=later)
    channel = channel_of(order)
    hints.channel_changed(ChannelEvent("active_channel", Outpoint(channel.txid, channel.index + 1)))
    hints.channel_changed(ChannelEvent("active_channel", None))
    assert not is_nudged(order)


def test_a_peer_that_comes_nudges_only_the_orders_that_wait_for_it_to_come(later: datetime) -> None:
    absent = OrderFactory.create(uri_set=True, due_at=later, last_failure_reason="PEER_NOT_REACHABLE")
    refusing = OrderFactory.create(
        uri_set=True, due_at=later, last_failure_reason="FAILED_OPENING", node_pubkey=absent.node_pubkey
    )
    another = OrderFactory.create(uri_set=True, due_at=later, last_failure_reason="PEER_NOT_REACHABLE")
    hints.peer_came(absent.node_pubkey)
    assert [is_nudged(order) for order in (absent, refusing, another)] == [True, False, False]
