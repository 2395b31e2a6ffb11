"""What gives way goes as it must; and what costs nothing on chain keeps nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.types import Invoice, NodeInvoiceState, TxOutput
from orders import queries
from orders.advance import advance
from orders.models import ChannelOrder, Node, NodeSnapshot, Reservation
from orders.payments import counting, onchain
from orders.payments.lightning import holding
from orders.payments.onchain import watching
from orders.states import OrderState
from tests.factories import DepositFactory, OrderFactory, SnapshotFactory, txid
from tests.integration.conftest import Api
from tests.scripted import ScriptedNode, held, mined, unmined

pytestmark = pytest.mark.django_db(transaction=True)


class Obedient(ScriptedNode):
    """Cancels what it is told to cancel."""

    def cancel_invoice(self, payment_hash: str) -> None:
        super().cancel_invoice(payment_hash)
        self.by_hash[payment_hash] = replace(self.by_hash[payment_hash], state=NodeInvoiceState.CANCELED)

    def has(self, order: Any, state: NodeInvoiceState) -> Invoice:
        self.by_hash[order.hold_invoice.payment_hash] = held(order, state)
        return self.by_hash[order.hold_invoice.payment_hash]

    def state_of(self, order: Any) -> str:
        return str(self.by_hash[order.hold_invoice.payment_hash].state)


@pytest.fixture
def node() -> Obedient:
    SnapshotFactory()
    return Obedient()


def told_to_go(**state: Any) -> ChannelOrder:
    return OrderFactory(reservation__gives_way_at=timezone.now(), due_at=timezone.now(), **state)


def looked_at(order: ChannelOrder, node: ScriptedNode) -> ChannelOrder:
    ChannelOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
    advance(order.pk, node=node)  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk)


def causes(order: ChannelOrder) -> set[str]:
    return set(order.events.values_list("cause", flat=True))


def test_a_quote_that_is_told_to_go_ends_with_its_invoice(node: Obedient) -> None:
    order = told_to_go()
    node.has(order, NodeInvoiceState.OPEN)
    order = looked_at(order, node)
    assert (order.state, order.give_up_reason) == (OrderState.EXPIRED, "COINS_PROMISED_ELSEWHERE")
    assert node.state_of(order) == "canceled" and "gave_way" in causes(order)


def test_what_is_paid_while_a_quote_is_told_to_go_is_paid_and_keeps_its_place(node: Obedient) -> None:
    order = told_to_go()
    node.has(order, NodeInvoiceState.ACCEPTED)  # nobody has looked yet
    order = looked_at(order, node)
    assert order.state == OrderState.PAID and not order.is_going
    assert node.state_of(order) == "accepted"


def test_what_is_paid_when_its_end_is_recorded_goes_back(node: Obedient) -> None:
    order = told_to_go()
    paid = node.has(order, NodeInvoiceState.ACCEPTED)
    counting.intend_return(order.pk, cause=counting.Cause.GAVE_WAY)
    holding.hold(order.pk, paid)  # too late: nothing but the return may follow
    order = looked_at(order, node)
    assert order.state == OrderState.EXPIRED and node.state_of(order) == "canceled"


def test_an_order_that_nobody_paid_in_time_has_not_given_way(node: Obedient) -> None:
    order = OrderFactory(created_at=timezone.now() - timedelta(hours=2), due_at=timezone.now())
    node.has(order, NodeInvoiceState.OPEN)
    Node.objects.update(deposits_at=timezone.now())
    order = looked_at(order, node)
    assert (order.state, order.give_up_reason) == (OrderState.EXPIRED, "")
    assert "gave_way" not in causes(order)


@pytest.mark.parametrize("state", ["paid_lightning", "uri_set", "give_up"])
def test_a_held_payment_that_is_told_to_go_is_back_at_once(node: Obedient, state: str) -> None:
    order = told_to_go(**{state: True})
    node.has(order, NodeInvoiceState.ACCEPTED)
    order = looked_at(order, node)
    assert order.state == OrderState.REFUNDED and node.state_of(order) == "canceled"
    assert order.give_up_reason and "gave_way" in {*causes(order), order.hold_invoice.return_cause}


def test_who_is_told_to_go_reads_why(api: Api) -> None:
    order = OrderFactory(refunded=True, give_up_reason="COINS_PROMISED_ELSEWHERE")
    shown = api.get("/channel/order", {"order_id": str(order.pk)}).said
    assert shown["give_up_reason"] == "COINS_PROMISED_ELSEWHERE"
    offered = api.get("/lnurl/channel", {"order_id": str(order.pk)}).said
    assert "COINS_PROMISED_ELSEWHERE" in offered["reason"]


def test_a_lost_nudge_is_made_up_for_by_the_minutes_look(node: Obedient) -> None:
    order = told_to_go(paid_lightning=True)
    assert queries.giving_way() == [order.pk]


# On chain


def unmined_in_time(**changes: Any) -> ChannelOrder:
    """Over since a day, with a covering deposit that came in time and is in no block."""
    order = OrderFactory(created_at=timezone.now() - timedelta(hours=26), invoice__state="cancelled")
    seen = order.expires_at - timedelta(minutes=5)
    DepositFactory(order=order, unconfirmed=True, **({"seen_at": seen} | changes))
    Node.objects.update(deposits_at=timezone.now())
    return order


def test_found_a7_a_deposit_in_no_block_keeps_its_order_for_a_day_and_no_longer(node: Obedient, settings: Any) -> None:
    settings.DEPOSIT_PATIENCE_SECONDS = 2 * 86_400
    order = unmined_in_time()
    assert looked_at(order, node).state == OrderState.CREATED
    settings.DEPOSIT_PATIENCE_SECONDS = 86_400
    assert looked_at(order, node).state == OrderState.EXPIRED


def test_found_a7_a_deposit_that_came_after_the_end_keeps_no_order(node: Obedient, settings: Any) -> None:
    settings.DEPOSIT_PATIENCE_SECONDS = 10 * 86_400
    order = unmined_in_time(seen_at=timezone.now())
    assert looked_at(order, node).state == OrderState.EXPIRED


def test_control_without_the_time_limit_it_is_kept_for_ever(node: Obedient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "may_yet_be_paid", lambda order, now: counting.covered(order))
    assert looked_at(unmined_in_time(seen_at=timezone.now()), node).state == OrderState.CREATED


def read(node: ScriptedNode) -> None:
    watching.read_deposits(node, NodeSnapshot.objects.get())  # type: ignore[arg-type]


def test_found_a7_coins_are_reserved_once_a_deposit_is_in_a_block_and_not_before(node: Obedient) -> None:
    order = OrderFactory()
    output = TxOutput(0, order.deposit_address, order.order_total_sat, True)
    node.wallet["ab" * 32] = unmined("ab" * 32, outputs=[output])
    read(node)
    assert Reservation.objects.get(order=order.pk).firmness == "quoted"
    assert queries.promised_sat(NodeSnapshot.objects.get()) == 0
    node.wallet["ab" * 32] = mined("ab" * 32, confirmations=1, height=800, outputs=[output])
    read(node)
    assert Reservation.objects.get(order=order.pk).firmness == "firm"
    node.wallet["ab" * 32] = unmined("ab" * 32, outputs=[output])
    read(node)
    assert Reservation.objects.get(order=order.pk).firmness == "quoted"


def test_a_deposit_mined_before_its_quote_has_gone_has_its_coins_counted(node: Obedient) -> None:
    """Else they are promised to others too, until the deposit is deep."""
    order = told_to_go()
    output = TxOutput(0, order.deposit_address, order.order_total_sat, True)
    node.wallet["ab" * 32] = mined("ab" * 32, confirmations=1, height=800, outputs=[output])
    read(node)
    row = Reservation.objects.get(order=order.pk)
    assert (row.firmness, row.is_going) == ("firm", False)
    assert queries.promised_sat(NodeSnapshot.objects.get()) == row.value_sat


def test_what_is_paid_on_chain_goes_before_payments_without_a_reached_node(node: Obedient) -> None:
    NodeSnapshot.objects.update(spendable_sat=1_500_000)
    weak = OrderFactory(paid_lightning=True)
    order = OrderFactory()
    output = TxOutput(0, order.deposit_address, order.order_total_sat, True)
    node.wallet["ab" * 32] = mined("ab" * 32, confirmations=1, height=800, outputs=[output])
    read(node)
    assert Reservation.objects.get(order=order.pk).firmness == "firm"
    assert Reservation.objects.get(order=weak.pk).gives_way_at is not None


def test_found_a7_five_hundred_outputs_to_one_address_are_looked_at_in_a_few_calls(node: Obedient) -> None:
    order = OrderFactory(paid_onchain=True, deposits=False)
    for number in range(500):
        DepositFactory(order=order, txid=txid(number), amount_sat=order.order_total_sat // 400)
        node.wallet[txid(number)] = mined(txid(number))
    node.on_call = asked = Asked(node)  # type: ignore[assignment]
    assert onchain.look(queries.order_or_raise(order.pk), node).secured  # type: ignore[arg-type]
    assert asked.count <= 3


class Asked:
    """Counts the calls, those for blocks too."""

    def __init__(self, node: ScriptedNode) -> None:
        self.count, whole = 0, node.block_hash

        def block_hash(height: int) -> str:
            self.count += 1
            return whole(height)

        node.block_hash = block_hash  # type: ignore[method-assign]

    def __call__(self, name: str) -> None:
        self.count += 1
