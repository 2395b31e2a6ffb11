"""What was paid after the order's end still buys: of an order that ended by itself, of which nothing went back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from orders import actors, queries
from orders.causes import Cause
from orders.models import ChannelOrder, OrderEvent, Refund, SwitchName
from orders.operations import pausing
from orders.payments.onchain import late
from orders.states import OrderState, RefundState
from tests.factories import DepositFactory, OrderFactory, SnapshotFactory
from tests.refunding import RefundFactory

pytestmark = pytest.mark.django_db(transaction=True)

ADA = actors.staff("ada")


def ended(cause: Cause = Cause.EXPIRED) -> ChannelOrder:
    """It was paid after its end, deep enough."""
    SnapshotFactory()
    now = timezone.now()
    order: ChannelOrder = OrderFactory(expired=True, expires_at=now - timedelta(hours=2))
    OrderEvent.objects.create(
        order=order, version=1, at=now, actor="lsp", cause=cause, from_state="created", to_state="expired"
    )
    ChannelOrder.objects.update(version=1)
    DepositFactory(order=order, confirmations=6, seen_at=now - timedelta(hours=1))
    return queries.order_or_raise(order.pk)


def is_taken(order: ChannelOrder) -> bool:
    """Whether it buys, and is PAID once it is taken; or neither."""
    buys = late.buys(order, timezone.now())
    late.take(order.pk)
    assert (ChannelOrder.objects.get(pk=order.pk).state == OrderState.PAID) is buys
    return buys


def test_who_pays_late_has_bought() -> None:
    assert is_taken(ended())


def test_not_where_staff_had_cancelled_the_order() -> None:
    assert not is_taken(ended(Cause.CANCELLED))


@pytest.mark.parametrize("state", [RefundState.DUE, RefundState.KEPT])
def test_not_where_something_of_it_goes_back_or_is_kept(state: RefundState) -> None:
    order, now = ended(), timezone.now()
    Refund.objects.create(order=order, amount_sat=900, state=state, ends_order=True, cause="expired", created_at=now)
    assert not is_taken(order)


def test_nor_where_a_refund_of_it_is_out() -> None:
    order = ended()
    RefundFactory(order=order, published=True)
    assert not is_taken(order)


def test_what_was_withdrawn_went_nowhere() -> None:
    order, now = ended(), timezone.now()
    withdrawn = RefundState.WITHDRAWN
    Refund.objects.create(
        order=order, amount_sat=900, state=withdrawn, ends_order=True, cause="expired", created_at=now
    )
    assert is_taken(order)


def test_not_while_sales_are_paused() -> None:
    order = ended()
    pausing.pause(SwitchName.SALES, reason="moving house", actor=ADA)
    assert not is_taken(order)
