"""Parts of a payment that come after the others have gone on: each is decided, and none is let go in doubt."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from lightning.parts import FAIL
from orders.jit import gathering
from orders.models import ChannelOrder, HoldInvoice, JitPart, NodeSnapshot
from orders.payments.lightning import passing
from orders.payments.lightning.passing import Become, Outcome
from orders.states import InvoiceState, OpeningState, OrderState
from orders.transitions import locked
from tests import factories
from tests.integration.test_jit_gathering import HEIGHT, SIZE_MSAT, bought, decision, orders, part, shop

__all__ = ["shop"]


@pytest.fixture
def late(shop: Any) -> Any:
    """The first part of a payment has gone on over its channel, and this one comes after it."""
    purchase = bought()
    gathering.hear(part(purchase))
    factories.OpeningFactory(order=orders()[0], zero_conf=True, announced=False, state=OpeningState.CARRYING)
    passed_on(HEIGHT)
    one = part(purchase, 5_000)
    assert gathering.hear(one) is None
    return one


def passed_on(height: int) -> None:
    with locked(orders()[0].pk) as order:
        assert passing._record_passed_on(order, height)


@pytest.mark.parametrize(("height", "said"), [(HEIGHT + 28, ("resume", "")), (HEIGHT + 29, ("fail", "TOO_FEW_BLOCKS"))])
def test_what_does_not_last_goes_back_at_once(late: Any, height: int, said: tuple[str, str]) -> None:
    passed_on(height)
    assert decision(late) == said
    assert JitPart.objects.earliest("pk").decision == "resume"


@pytest.mark.parametrize("later_msat", [0, SIZE_MSAT])
def test_one_that_cannot_bear_what_came_back_of_the_fee_goes_back_unless_others_can(late: Any, later_msat: int) -> None:
    first = JitPart.objects.earliest("pk")
    if later_msat:
        gathering.hear(part(first.purchase, later_msat))
    with locked(orders()[0].pk) as order:
        passing._record_passed_on(order, HEIGHT, [first])
    assert decision(late) == (("resume", "") if later_msat else ("fail", "PARTS_TOO_SMALL"))
    fees_msat = list(JitPart.objects.order_by("pk").values_list("fee_msat", flat=True))
    assert fees_msat == ([0, 0, first.fee_msat] if later_msat else [first.fee_msat, 0]) and first.fee_msat > 5_000


@pytest.mark.parametrize("outcome", [Outcome.TAKEN, Outcome.TAKEN_IN_PART, Outcome.GONE])
def test_what_has_not_gone_on_when_the_payment_comes_to_its_end_goes_back(late: Any, outcome: Outcome) -> None:
    passing.conclude(orders()[0].pk, Become(outcome, SIZE_MSAT))
    assert decision(late) == ("fail", "PAYMENT_ENDED")
    assert gathering.hear(late) == FAIL
    assert JitPart.objects.earliest("pk").decision == "resume"


@pytest.mark.parametrize("state", [OrderState.URI_SET, OrderState.OPENING])
@pytest.mark.parametrize("ended", [InvoiceState.SETTLED, InvoiceState.CANCELLED])
def test_so_does_what_comes_between_that_and_its_channels_number_being_used(
    late: Any, state: OrderState, ended: InvoiceState
) -> None:
    ChannelOrder.objects.update(state=state)
    HoldInvoice.objects.update(state=ended)
    later = part(JitPart.objects.earliest("pk").purchase, 5_000)
    assert gathering.hear(later) == FAIL
    assert decision(later) == ("fail", "PAYMENT_ENDED")


def looked_at(height: int) -> int:
    """By who has parts in hand, or by reconcile: whatever the channel is, which no test here has."""
    NodeSnapshot.objects.update(block_height=height)
    return gathering.end_waiting()


class TestThatNobodyDecidesAbout:
    """The channel is away, say: what is left undecided is let go in doubt in the end, and may then never be failed."""

    def test_a_late_part_goes_back_before_our_node_fails_it(self, late: Any) -> None:
        assert looked_at(HEIGHT + 28) == 0 and decision(late) == ("", "")
        assert looked_at(HEIGHT + 29) == 1 and decision(late) == ("fail", "TOO_FEW_BLOCKS")
        assert gathering.hear(late) == FAIL
        assert JitPart.objects.earliest("pk").decision == "resume"

    @pytest.mark.parametrize("what", ["outgoing_expiry", "auto_fail_height"])
    def test_so_does_one_of_a_payment_that_has_not_gone_on_and_its_order_waits_no_more(
        self, shop: Any, what: str
    ) -> None:
        one = part(bought(), **{what: HEIGHT + 20})
        gathering.hear(one)
        assert looked_at(HEIGHT + 8) == 0 and not passing.is_over(orders()[0], timezone.now())
        assert looked_at(HEIGHT + 9) == 1 and decision(one) == ("fail", "TOO_FEW_BLOCKS")
        assert passing.is_over(orders()[0], timezone.now())

    def test_and_one_that_waits_for_its_others_which_wait_on(self, shop: Any) -> None:
        purchase = bought()
        short, long = part(purchase, 1_000, auto_fail_height=HEIGHT + 20), part(purchase, 1_000)
        gathering.hear(short)
        gathering.hear(long)
        assert looked_at(HEIGHT + 9) == 1
        assert (decision(short)[0], decision(long)[0]) == ("fail", "")
