"""What puts a funding out costs no more than the order has left, where that suffices; else it is a named loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from lightning.errors import Rejected
from lightning.types import FeeRates, Outpoint
from orders import pricing
from orders.models import ChannelOrder, WalletTransaction
from orders.openings import conflicting, publishing
from orders.states import OpeningState, TransactionState
from orders.wallet import budget
from tests.factories import OpeningFactory, OrderFactory, SnapshotFactory, TransactionFactory, txid
from tests.scripted import ScriptedNode, held, pending

pytestmark = pytest.mark.django_db


class Rated(ScriptedNode):
    """A node at whose rates a test looks, and that signs whatever it gets."""

    sat_per_kw = 2_500

    def fee_rates(self, *, conf_target: int, seconds: float = 15.0) -> FeeRates:
        return FeeRates(self.sat_per_kw, 253)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Rated:
    SnapshotFactory()
    drafts: list[int] = []

    def drafted(*given: Any, fee_sat: int, **named: Any) -> bytes:
        drafts.append(fee_sat)
        return b"psbt"

    class Read:
        txid = txid("conflict")

    monkeypatch.setattr(conflicting.transactions, "conflict_psbt", drafted)
    monkeypatch.setattr(conflicting.transactions, "read_transaction", lambda raw: Read)
    return Rated()


def committed(node: Rated, **fields: Any) -> ChannelOrder:
    order = OrderFactory(opening=True, attempts=False, **fields)
    opening = OpeningFactory(order=order, state=OpeningState.PUBLISHING)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    assert opening.transaction is not None
    return order


def put_out(order: ChannelOrder, node: Rated) -> WalletTransaction:
    conflicting.begin(order.pk, node, reason="FAILED_OPENING")  # type: ignore[arg-type]
    return WalletTransaction.objects.get(kind="conflict", state=TransactionState.SIGNED)


def flags(order: ChannelOrder) -> list[str]:
    return [flag.kind for flag in ChannelOrder.objects.get(pk=order.pk).standing]


def test_within_the_budget_it_pays_twice_the_estimate(node: Rated) -> None:
    order = committed(node, fee_budget_sat=7_000)
    assert put_out(order, node).fee_sat == pricing.chain_fee_sat(pricing.CONFLICT_VBYTES, 5_000)
    assert flags(order) == []


def test_it_pays_what_is_left_where_that_will_be_mined(node: Rated) -> None:
    order = committed(node, fee_budget_sat=2_000)
    assert put_out(order, node).fee_sat == 2_000
    assert flags(order) == []


def test_what_safety_asks_for_is_paid_beyond_the_budget_and_is_a_named_loss(node: Rated) -> None:
    order = committed(node, fee_budget_sat=1_000)
    conflict = put_out(order, node)
    assert conflict.fee_sat == pricing.chain_fee_sat(pricing.CONFLICT_VBYTES, 2_500)
    assert flags(order) == ["conflict_over_budget"]
    [told] = order.events.filter(cause="conflict_over_budget")
    assert told.facts["beyond_sat"] == conflict.fee_sat - 1_000


def test_what_an_earlier_conflict_has_cost_is_not_there_any_more(node: Rated) -> None:
    order = committed(node, fee_budget_sat=5_000)
    TransactionFactory(
        kind="conflict", label=f"conflict:{order.pk}", state=TransactionState.DEEP, txid=txid("earlier"), fee_sat=1_900
    )
    assert budget.left_sat(order) == 3_100


def refusing(node: Rated, reason: str) -> Callable[..., None]:
    def refuse(raw: bytes, *, label: str) -> None:
        raise Rejected("mempool min fee not met", reason=reason)

    return refuse


@pytest.mark.parametrize(("sat_per_kw", "state"), [(2_500, "conflicting"), (250_000, "publishing")])
def test_a_funding_that_is_only_too_cheap_waits_while_putting_it_out_costs_more_than_is_left(
    node: Rated, settings: Any, monkeypatch: pytest.MonkeyPatch, sat_per_kw: int, state: str
) -> None:
    """Its payment is held, and nobody asks for anything: fees may fall again."""
    settings.PUBLISH_PATIENCE_SECONDS = 0
    order = committed(node, fee_budget_sat=7_000)
    opening = order.openings.get()
    node.pending = [pending(Outpoint.parse(opening.funding_outpoint), order)]
    node.sat_per_kw = sat_per_kw
    monkeypatch.setattr(node, "publish", refusing(node, "fee_too_low"))
    publishing.publish(order.pk, node)  # type: ignore[arg-type]
    opening.refresh_from_db()
    assert opening.state == state and opening.changed_at <= timezone.now()


def test_its_payment_gone_it_is_put_out_whatever_that_costs(node: Rated) -> None:
    order = committed(node, fee_budget_sat=7_000)
    node.sat_per_kw = 250_000
    node.by_hash.clear()
    publishing.publish(order.pk, node)  # type: ignore[arg-type]
    assert order.openings.get().state == OpeningState.CONFLICTING
    assert flags(order) == ["conflict_over_budget"]


def test_a_child_has_what_is_left_and_never_more_than_the_ceiling(settings: Any) -> None:
    order = OrderFactory(opening=True, fee_budget_sat=7_000, attempts__transaction__fee_sat=2_000)
    transaction = order.openings.get().transaction
    assert transaction is not None
    assert budget.for_child_sat(order, transaction) == 5_000
    settings.MAX_FUNDING_FEE_SAT = 1_000
    assert budget.for_child_sat(order, transaction) == 1_000
