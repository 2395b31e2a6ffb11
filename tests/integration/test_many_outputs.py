"""A deposit in very many outputs."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from lightning.types import TxOutput
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
