"""Lives in which coins run short: who costs us nothing gives way to a buyer who pays and whose node was reached.

Only the buyer's order is nudged: the others must be found by whoever looks next.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.utils import timezone

from orders.causes import COINS_PROMISED_ELSEWHERE
from orders.models import ChannelOrder, Reservation
from orders.states import OpeningState, OrderState
from simulator.control import Refused
from tests.chaos.lives import Life, Sale

#: What the node has: enough for any two of the three but for the buyer's and another.
STOCK = {"coins": 4, "coin_sat": 5_000_000}
_THEIRS_SAT, _BUYERS_SAT = 9_900_000, 10_500_000
_TROUBLE = timedelta(seconds=65)
_ENDS = {OrderState.EXPIRED, OrderState.REFUNDED}


def gives_way(sale: Sale) -> None:
    """A quote that nobody pays, and a payment that nobody claims."""
    quoted = sale.buy(None, _THEIRS_SAT)
    held = _held(sale)
    sale.pay(sale.buy("buyer", _BUYERS_SAT))
    sale.delivered()
    _gone(sale, quoted, held)


def pays_as_it_gives_way(sale: Sale) -> None:
    """A quote that is paid in the moment in which it is told to go, and a payment claimed for a node that sleeps."""
    quoted = sale.buy(None, _THEIRS_SAT)
    held = _held(sale)
    sale.network.customers["alice"].change(presence="offline")
    sale.claim("alice")
    sale.pay(sale.buy("buyer", _BUYERS_SAT))
    sale.until(lambda: _told(quoted["order_id"]), "told to go")
    with suppress(Refused):  # its invoice is dead already
        sale.pay(quoted)
    _delivered_or_outdone(sale)
    _gone(sale, quoted, held)


def _held(sale: Sale) -> dict[str, Any]:
    held = sale.buy(None, _THEIRS_SAT)
    sale.pay(held)
    sale.until(lambda: sale.state() == OrderState.PAID, "paid")
    return held


def _delivered_or_outdone(sale: Sale) -> None:
    """An attempt that our own death has ended costs the buyer his place: who pays his quote just then may take it."""

    def ended() -> bool:
        is_deep = "funding_confirmed" in sale.journal() and sale.state() == OrderState.OPEN
        return is_deep or sale.state() == OrderState.REFUNDED

    sale.until(ended, "delivered, or back", mining=True)
    if sale.state() == OrderState.REFUNDED:
        assert "opening_failed" in sale.journal(), "a reached buyer gave way, and no attempt has failed"
        sale.gave_way.add(sale.order_id)


def _told(order_id: str) -> bool:
    """Whatever came of it since."""
    return Reservation.objects.filter(order=order_id, gives_way_at__isnull=False).exists()


def _gone(sale: Sale, *quotes: dict[str, Any]) -> None:
    sale.gave_way |= {quote["order_id"] for quote in quotes}

    def gone() -> bool:
        _end_pauses(sale.gave_way)
        return {sale.state(order_id) for order_id in sale.gave_way} <= _ENDS

    sale.until(gone, "those that were told to go are gone", mining=True)


def _end_pauses(order_ids: set[str]) -> None:
    """Those after some trouble. Who is at rest is looked at so seldom that a lost nudge would be a loss."""
    soon = ChannelOrder.objects.filter(pk__in=order_ids, due_at__lt=timezone.now() + _TROUBLE)
    soon.update(due_at=timezone.now())


def check_gave_way(order: ChannelOrder) -> None:
    """It ended for this reason alone, its mark with it; what is true of its money is looked at for every order."""
    assert order.state in _ENDS, f"{order} is {order.state}"
    outran = order.events.filter(cause="payment_not_secured")  # blocks came while nobody looked: back all the same
    assert order.give_up_reason == COINS_PROMISED_ELSEWHERE or outran, f"{order} has ended otherwise"
    settled = order.events.filter(cause="payment_settled")
    assert not settled, f"{order} gave way, and its payment was taken"
    assert not order.openings.exclude(state=OpeningState.FAILED), f"{order} gave way, and an attempt is live"


COMPETING: dict[str, Life] = {life.__name__: life for life in (gives_way, pays_as_it_gives_way)}
