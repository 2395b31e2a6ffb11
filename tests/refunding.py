"""Refunds in every state, as the operations would have left them."""

from __future__ import annotations

from typing import Any

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from orders.models import Refund
from orders.states import RefundState
from tests.factories import DepositFactory, TransactionFactory
from tests.fakes import regtest_address


class RefundFactory(DjangoModelFactory[Refund]):
    """What a deposit of an expired order came to, due to go back."""

    class Meta:
        model = Refund

    order = factory.SubFactory("tests.factories.OrderFactory", expired=True)
    amount_sat = 60_000
    ends_order = True
    cause = "expired"
    created_at = factory.LazyFunction(timezone.now)

    class Params:
        kept = factory.Trait(state=RefundState.KEPT, detail="The buyer asked us to wait.")
        proposed = factory.Trait(state=RefundState.PROPOSED, ends_order=False, cause="closed_unused")
        published = factory.Trait(
            state=RefundState.PUBLISHED,
            address=factory.Sequence(lambda n: regtest_address(20_000 + n)),
            fee_sat=300,
            transaction=factory.SubFactory(
                TransactionFactory, kind="refund", label=factory.Sequence(lambda n: f"refund:{n}"), lock_id=b"r" * 32
            ),
        )

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **given: Any) -> Refund:
        """The deposit that it came in is there, and final."""
        refund: Refund = super()._create(model_class, *args, **given)
        if not refund.order.onchain_payments.exists():
            DepositFactory(order=refund.order, amount_sat=refund.amount_sat, block_height=700, confirmations=99)
        return refund
