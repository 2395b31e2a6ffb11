"""What came for an order: one reading of it, at each depth and by each rail."""

from __future__ import annotations

import pytest

from orders import money
from orders.models import Node
from orders.models.order import Rail
from orders.states import At, InvoiceState
from tests.factories import DepositFactory, OrderFactory

pytestmark = pytest.mark.django_db


def received(order: object) -> dict[At, int]:
    return {at: money.of(order, at).received_sat for at in At}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "state, held, came",
    [
        (InvoiceState.OPEN, 0, 0),
        (InvoiceState.HELD, 700, 700),
        (InvoiceState.RETURNING, 700, 700),
        (InvoiceState.SETTLED, 0, 700),
        (InvoiceState.CANCELLED, 0, 0),
    ],
)
def test_a_lightning_payment_is_the_buyers_until_it_is_settled(state: str, held: int, came: int) -> None:
    order = OrderFactory(invoice__state=state, invoice__held_sat=700)
    assert (money.of(order, At.SEEN).held_sat, received(order)) == (held, dict.fromkeys(At, came))


def test_a_deposit_counts_no_further_than_it_has_come(settings: object) -> None:
    settings.ONCHAIN_CONFIRMATIONS = 3  # type: ignore[attr-defined]
    order = OrderFactory(invoice=False, client_balance_sat=0)
    Node.objects.update(deposits_height=800)
    DepositFactory(order=order, amount_sat=1, unconfirmed=True)
    DepositFactory(order=order, amount_sat=10, block_height=799, confirmations=2)
    DepositFactory(order=order, amount_sat=100, block_height=798, confirmations=1)  # deep by the height read since
    DepositFactory(order=order, amount_sat=1_000, vanished=True)
    order.refresh_from_db()
    assert received(order) == {At.SEEN: 111, At.CONFIRMED: 110, At.DEEP: 100}


def test_each_rail_can_be_asked_for_its_own() -> None:
    order = OrderFactory(paid_lightning=True)
    DepositFactory(order=order, amount_sat=5)
    by_rail = {rail: money.of(order, At.SEEN, rail=rail).received_sat for rail in Rail}
    assert by_rail == {Rail.LIGHTNING: order.order_total_sat, Rail.ONCHAIN: 5}
    whole = money.of(order, At.SEEN)
    assert (whole.received_sat, whole.surplus_sat, whole.is_covered) == (order.order_total_sat + 5, 5, True)


def test_what_is_pushed_to_the_buyer_asks_for_more_depth(settings: object) -> None:
    settings.ONCHAIN_CONFIRMATIONS = 3  # type: ignore[attr-defined]
    asked = [money.required_confirmations(OrderFactory.build(client_balance_sat=sat)) for sat in (0, 5_000_000, 10**8)]
    assert asked == [3, 4, 6]
