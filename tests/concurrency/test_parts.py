"""Two who decide about one part of a payment at the same moment, on a real PostgreSQL."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection

from orders.jit import gathering
from orders.models import ChannelOrder, JitPart
from orders.payments.lightning import passing
from orders.states import OpeningState
from orders.transitions import locked
from tests import factories
from tests.integration.conftest import snapshot
from tests.integration.test_jit_gathering import HEIGHT, bought, decision, part, shop

__all__ = ["shop", "snapshot"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_what_is_lost_while_it_is_let_go_on_stays_what_was_decided_first(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it is failed, and our node may have been told so, before it is written down that it goes on."""
    one, resume = part(bought()), passing._resume
    gathering.hear(one)
    order = ChannelOrder.objects.get()
    factories.OpeningFactory(order=order, zero_conf=True, announced=False, state=OpeningState.CARRYING)
    told: list[str] = []

    def lost() -> None:
        gathering.lose(one)
        told.append(JitPart.objects.get().decision)
        connection.close()

    loser = threading.Thread(target=lost)

    def slowly(*given: Any) -> None:
        loser.start()
        loser.join(1)
        resume(*given)

    monkeypatch.setattr(passing, "_resume", slowly)
    with locked(order.pk) as order:
        assert passing._record_passed_on(order, HEIGHT)
    loser.join(10)
    assert told == ["resume"] and decision(one) == ("resume", "")
