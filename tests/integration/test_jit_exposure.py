"""How much is risked with whom, of channels that open just in time; and whose payment is under way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.parts import FAIL
from orders import flags
from orders.causes import FlagKind
from orders.jit import exposure, gathering, ordering, selling
from orders.models import ChannelOrder, Flag, HoldInvoice, JitPart, JitPurchase, PartDecision
from orders.payments.lightning import passing
from orders.states import InvoiceState, OpeningState, OrderState
from tests import factories
from tests.integration.lsps2 import OTHER, PEER
from tests.integration.test_jit_gathering import ADA, _htlcs, bought, decision, orders, part, shop

__all__ = ["shop"]


class TestExposure:
    def test_no_peer_has_more_under_way_than_it_may(self, settings: Any) -> None:
        settings.LSPS2_PEER_EXPOSURE_SAT = 500_000
        gathering.hear(part(bought()))
        assert gathering.hear(part(bought())) == FAIL  # 840,000 sat
        assert gathering.hear(part(bought(peer=OTHER))) is None

    def test_nor_have_all_together(self, settings: Any) -> None:
        settings.LSPS2_EXPOSURE_SAT = 800_000
        gathering.hear(part(bought()))
        assert gathering.hear(part(bought(peer=OTHER))) == FAIL

    def test_what_was_taken_is_no_risk_any_more(self, settings: Any) -> None:
        settings.LSPS2_PEER_EXPOSURE_SAT = 500_000
        gathering.hear(part(bought()))
        [order] = orders()
        order.hold_invoice.state = InvoiceState.SETTLED
        order.hold_invoice.save()
        assert gathering.hear(part(bought(), payment_hash="cd" * 32)) is None

    def aborted(self, minutes_ago: float, purchase: JitPurchase | None = None, why: str = "FAILED_OPENING") -> None:
        """A payment for it went on over its new channel, and came back."""
        purchase = purchase or bought()
        gathering.hear(part(purchase, payment_hash=f"{next(_htlcs):064x}"))
        order = ChannelOrder.objects.filter(jit_parts__purchase=purchase).latest("created_at")
        order.jit_parts.update(decision=PartDecision.RESUME, decided_at=timezone.now())
        ChannelOrder.objects.filter(pk=order.pk).update(state=OrderState.REFUNDED, give_up_reason=why)
        invoice = order.hold_invoice
        invoice.state = InvoiceState.CANCELLED
        invoice.cancelled_at = timezone.now() - timedelta(minutes=minutes_ago)
        invoice.save()

    def test_a_payment_that_was_not_taken_makes_its_number_wait_and_no_other(self) -> None:
        purchase = bought()
        self.aborted(1, purchase)
        assert gathering.hear(part(purchase, payment_hash="cd" * 32)) == FAIL
        assert gathering.hear(part(bought())) is None  # a stranger who has seen one number ends no wallet's business

    def test_and_its_number_is_not_used_up(self) -> None:
        purchase = bought()
        self.aborted(2.1, purchase)
        assert gathering.hear(part(purchase, payment_hash="cd" * 32)) is None and len(orders()) == 2

    @pytest.mark.parametrize(("ago", "may"), [([1.9], False), ([2.1], True), ([3.9, 9], False), ([4.1, 9], True)])
    def test_the_wait_of_a_number_doubles(self, ago: list[float], may: bool) -> None:
        purchase = bought()
        for minutes in reversed(ago):
            self.aborted(minutes, purchase)
        assert (exposure.number_waits_until(purchase, timezone.now()) is None) is may

    @pytest.mark.parametrize(("ago", "may"), [([1.9], True), ([1.9, 9], False), ([2.1, 9], True), ([3.9, 9, 9], False)])
    def test_who_does_so_with_several_waits_with_all_of_them(self, ago: list[float], may: bool) -> None:
        offered = [bought() for _ in ago]
        for minutes, purchase in zip(ago, offered, strict=True):
            self.aborted(minutes, purchase)
        assert (exposure.waits_until(PEER, timezone.now()) is None) is may
        assert exposure.waits_until(OTHER, timezone.now()) is None

    def test_one_number_counts_once_however_often_strangers_pay_for_it(self, settings: Any) -> None:
        settings.LSPS2_ABORTS_PER_PEER = 2
        purchase = bought()
        for minutes in (500, 400, 300, 200, 1):
            self.aborted(minutes, purchase)
        assert exposure.waits_until(PEER, timezone.now()) is None

    def test_what_never_reached_the_wallet_is_nobodys_fault(self) -> None:
        purchase = bought()
        self.aborted(1, purchase, why="PEER_NOT_REACHABLE")
        assert gathering.hear(part(purchase, payment_hash="cd" * 32)) is None

    def test_unless_it_happens_again_and_again(self) -> None:
        purchase = bought()
        for minutes in (9, 8, 7):
            self.aborted(minutes, purchase, why="PEER_NOT_REACHABLE")
        assert exposure.number_waits_until(purchase, timezone.now()) is None
        self.aborted(1, purchase, why="PEER_NOT_REACHABLE")
        assert exposure.number_waits_until(purchase, timezone.now()) is not None
        assert exposure.number_waits_until(bought(peer=OTHER), timezone.now()) is None

    def test_after_the_last_the_day_has_to_be_over(self, settings: Any) -> None:
        settings.LSPS2_ABORTS_PER_PEER = 1
        offered = [bought(), bought()]
        for purchase in offered:
            self.aborted(23 * 60, purchase)
        with pytest.raises(selling.TooManyOrders):
            bought()

    def unpaid(self, minutes_ago: float = 0) -> ChannelOrder:
        """Its channel is published, and our fee is not there."""
        gathering.hear(part(bought(), payment_hash=f"{next(_htlcs):064x}"))
        order = orders()[-1]
        flags.flag(order.pk, FlagKind.UNPAID_CHANNEL, "Nothing is there.")
        Flag.objects.update(raised_at=timezone.now() - timedelta(minutes=minutes_ago))
        HoldInvoice.objects.filter(order=order).update(state=InvoiceState.SETTLED, held_sat=0)
        ChannelOrder.objects.filter(pk=order.pk).update(state=OrderState.CLOSED)
        return order

    def test_a_channel_that_was_published_and_is_not_paid_counts_until_a_person_has_seen_it(
        self, settings: Any
    ) -> None:
        settings.LSPS2_EXPOSURE_SAT = 800_000
        order = self.unpaid()
        assert gathering.hear(part(bought(peer=OTHER))) == FAIL  # also where its peer comes under another key
        flags.mark_seen(order.pk, actor=ADA)
        assert gathering.hear(part(bought(peer=OTHER), payment_hash="cd" * 32)) is None

    def test_who_had_one_waits_at_once(self) -> None:
        self.unpaid(minutes_ago=1)
        with pytest.raises(selling.TooManyOrders):
            bought()

    def test_what_is_risked_is_counted_by_one_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        counted: list[str] = []
        monkeypatch.setattr(ordering.placing, "counting", lambda: counted.append("alone"))
        monkeypatch.setattr(exposure, "_risked_sat", lambda peer="": counted.append("counted") or 0)
        gathering.hear(part(bought()))
        assert counted[:2] == ["alone", "counted"]


class TestHeld:
    """The payment has not come to its end, wherever its order is."""

    @pytest.fixture(params=[(OrderState.OPEN, InvoiceState.HELD), (OrderState.REFUNDED, InvoiceState.RETURNING)])
    def purchase(self, request: pytest.FixtureRequest) -> JitPurchase:
        state, payment = request.param
        purchase = bought()
        gathering.hear(part(purchase))
        ChannelOrder.objects.update(state=state)
        HoldInvoice.objects.update(state=payment)
        return purchase

    def test_another_part_of_it_makes_no_second_order_of_the_purchase(self, purchase: JitPurchase) -> None:
        assert gathering.hear(part(purchase)) is None
        assert len(orders()) == 1

    def test_nor_does_another_payment(self, purchase: JitPurchase) -> None:
        assert gathering.hear(part(purchase, payment_hash="cd" * 32)) == FAIL
        assert len(orders()) == 1

    def test_what_waits_for_its_others_is_given_back_in_time_all_the_same(self) -> None:
        purchase = bought()
        early = part(purchase, 1_000, payment_hash="cd" * 32)
        gathering.hear(early)
        gathering.hear(part(purchase))
        JitPart.objects.update(heard_at=timezone.now() - timedelta(days=1))
        assert gathering.end_waiting() == 1 and decision(early)[0] == "fail"
        assert len(orders()) == 1 and passing.undecided(orders()[0]).count() == 1

    def test_an_orders_parts_are_not_counted_once_more(self) -> None:
        """Of an order that is over, and left a part undecided, which a defect would have to have done."""
        purchase = bought()
        gathering.hear(part(purchase))
        ChannelOrder.objects.update(state=OrderState.REFUNDED)
        HoldInvoice.objects.update(state=InvoiceState.CANCELLED)
        assert gathering.hear(part(purchase, 5_000)) is None and len(orders()) == 1


class TestPublished:
    """Its channel is there, and its payment went back, as its wallet was away: the number is not used yet."""

    @pytest.mark.parametrize("opening", [OpeningState.PUBLISHING, OpeningState.PUBLISHED, OpeningState.CONFIRMED])
    @pytest.mark.parametrize("state", [OrderState.OPEN, OrderState.CLOSING])
    def test_no_second_channel_is_opened_for_the_same_number(self, opening: OpeningState, state: OrderState) -> None:
        purchase = self.given_back(state, opening)
        again = part(purchase, payment_hash="cd" * 32)
        assert gathering.hear(again) == FAIL
        assert decision(again) == ("fail", "CHANNEL_THERE") and len(orders()) == 1
        assert gathering.hear(part(bought(), payment_hash="ef" * 32)) is None  # of another purchase it is

    @pytest.mark.parametrize(
        ("state", "opening"),
        [(OrderState.CLOSED, OpeningState.CONFIRMED), (OrderState.REFUNDED, OpeningState.FAILED)],
    )
    def test_once_it_is_over_or_never_was_one_is(self, state: OrderState, opening: OpeningState) -> None:
        assert gathering.hear(part(self.given_back(state, opening), payment_hash="cd" * 32)) is None
        assert len(orders()) == 2

    def given_back(self, state: OrderState, opening: OpeningState) -> JitPurchase:
        purchase = bought()
        gathering.hear(part(purchase))
        factories.OpeningFactory(order=orders()[0], zero_conf=True, announced=False, state=opening)
        passing._give_back(orders()[0].pk)
        flags.mark_seen(orders()[0].pk, actor=ADA)
        Flag.objects.update(raised_at=timezone.now() - timedelta(days=2))  # its peer need not wait any more
        ChannelOrder.objects.update(state=state)
        return purchase
