"""A deposit in very many outputs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from lightning.types import TxOutput
from orders import queries
from orders.payments.onchain import recording
from tests.factories import OrderFactory, txid
from tests.scripted import mined, unmined


@pytest.mark.django_db(transaction=True)
def test_many_outputs_cost_as_few_statements_as_two() -> None:
    """A stranger chooses how many outputs he pays with; others would wait while each is written."""

    def statements(count: int) -> int:
        order = OrderFactory()
        outputs = [TxOutput(index, order.deposit_address, 546, True) for index in range(count)]
        asked = 0
        for found in (unmined(txid(f"dust {count}"), outputs=outputs), mined(txid(f"dust {count}"), outputs=outputs)):
            with CaptureQueriesContext(connection) as captured:
                recording.record([found])
            asked += len(captured)
        assert order.onchain_payments.filter(state="confirmed").count() == count
        facts = order.events.filter(cause__startswith="deposit").values_list(
            "cause", "facts__outputs", "facts__amount_sat"
        )
        assert list(facts) == [(cause, count, 546 * count) for cause in ("deposit_seen", "deposit_confirmed")]
        return asked

    assert statements(100) == statements(2)


@pytest.mark.django_db(transaction=True)
def test_an_output_that_is_listed_twice_has_its_row_as_the_last_says() -> None:
    order = OrderFactory(due_at=timezone.now() + timedelta(minutes=9))
    outputs = [TxOutput(0, order.deposit_address, 546, True)]
    assert recording.record([unmined(txid("twice"), outputs=outputs), mined(txid("twice"), outputs=outputs)])
    assert [row.state for row in order.onchain_payments.all()] == ["confirmed"]
    assert [event.facts["amount_sat"] for event in order.events.filter(cause="deposit_seen")] == [546]
    assert queries.due_ids(timezone.now()) == [order.pk]  # somebody counts it now
