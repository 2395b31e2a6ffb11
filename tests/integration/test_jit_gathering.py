"""Parts of a payment for a promised channel are gathered, and decided once. No node is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.utils import timezone

from lightning.parts import FAIL, RESUME, Circuit, Intercepted, resume_with
from orders import actors, keys
from orders.barring import BanKind
from orders.jit import forgetting, gathering, selling
from orders.jit.selling import Wanted
from orders.models import (
    ChannelOrder,
    JitPart,
    JitPurchase,
    NodeSnapshot,
    PartDecision,
    Service,
    SwitchName,
)
from orders.models.order import Door, Rail
from orders.operations import banning, pausing
from orders.payments.lightning import passing
from orders.states import Firmness, InvoiceState, OrderState
from tests.integration.lsps2 import PEER, open_shop

HEIGHT, SIZE_MSAT = 800, 200_000_000
ADA = actors.staff("ada")
_htlcs = count()


@pytest.fixture(autouse=True)
def shop(db: None, settings: Any, snapshot: NodeSnapshot) -> Service:
    return open_shop(settings, snapshot)


def bought(size_msat: int | None = SIZE_MSAT, peer: str = PEER) -> JitPurchase:
    offer = selling.menu(peer)[0]
    return selling.buy(Wanted(peer, offer.parameters, offer.promise, size_msat))


def part(purchase: JitPurchase, msat: int = SIZE_MSAT, **changes: Any) -> Intercepted:
    """As our node tells it: by a channel of its own number."""
    said = Intercepted(
        circuit=Circuit(2**63 + 7, next(_htlcs)),
        payment_hash="ab" * 32,
        incoming_msat=msat,
        incoming_expiry=HEIGHT + 40 + purchase.cltv_expiry_delta,
        outgoing_msat=msat,
        outgoing_expiry=HEIGHT + 40,
        scid=purchase.number,
        auto_fail_height=HEIGHT + 40 + purchase.cltv_expiry_delta - 19,
    )
    return replace(said, **changes)


def decision(one: Intercepted) -> tuple[str, str]:
    row = JitPart.objects.get(chan_id=str(one.circuit.channel), htlc_id=one.circuit.htlc)
    return row.decision, row.reason


def orders() -> list[ChannelOrder]:
    return list(ChannelOrder.objects.order_by("created_at"))


class TestWhose:
    def test_what_we_have_not_promised_goes_on_as_if_we_were_not_there(self) -> None:
        purchase = bought()
        assert gathering.is_ours(purchase.number) and not gathering.is_ours(purchase.number + 1)
        assert gathering.hear(part(purchase, scid=purchase.number + 1)) == RESUME
        assert not JitPart.objects.exists()

    def test_what_names_a_channel_that_is_there_by_now_is_a_payment_like_any_other(self) -> None:
        purchase = bought()
        JitPurchase.objects.update(opened_at=timezone.now())
        assert gathering.hear(part(purchase)) == RESUME
        assert not JitPart.objects.exists() and not orders()

    def test_what_has_gone_on_and_has_not_run_out_is_known_beforehand(self) -> None:
        purchase = bought()
        gathering.hear(part(purchase))
        assert gathering.went_on() == set()
        JitPart.objects.update(decision="resume", decided_at=timezone.now())
        assert gathering.went_on() == {purchase.number}
        JitPart.objects.update(incoming_expiry=HEIGHT)
        assert gathering.went_on() == set()


class TestEnough:
    def test_l2_13_a_part_that_is_enough_makes_an_order_that_is_paid_and_claimed(self) -> None:
        purchase = bought()
        assert gathering.hear(part(purchase)) is None
        [order] = orders()
        assert (order.state, order.door, order.counted_payment) == (OrderState.URI_SET, Door.LSPS2, Rail.LIGHTNING)
        assert (order.node_pubkey, order.client_hash) == (PEER, keys.peer_hash(PEER))
        assert order.is_zero_conf and not order.is_announced
        assert order.hold_invoice.state == InvoiceState.HELD and order.hold_invoice.is_passed_on
        assert order.fee_total_sat == order.hold_invoice.held_sat == purchase.min_fee_msat // 1000
        assert order.lsp_balance_sat == 420_000 and order.client_balance_sat == 0
        assert order.channel_expiry_blocks == 4_320
        assert order.reservation.firmness == Firmness.HELD
        assert [event.cause for event in order.events.order_by("version")] == [
            "quoted", "parts_gathered", "node_named_at_purchase",
        ]  # fmt: skip

    def test_l2_13_parts_are_gathered_by_what_came_in_until_their_sum_is_there(self) -> None:
        purchase = bought()
        first, second = part(purchase, 120_000_000), part(purchase, 79_999_999)
        assert gathering.hear(first) is None and gathering.hear(second) is None
        assert not orders()
        last = part(purchase, 1)
        assert gathering.hear(last) is None
        assert {row.order_id for row in JitPart.objects.all()} == {orders()[0].pk}

    def test_what_the_sender_wants_passed_on_counts_for_nothing(self) -> None:
        purchase = bought()
        gathering.hear(part(purchase, 1_000, outgoing_msat=SIZE_MSAT))
        gathering.hear(part(purchase, 1_000, outgoing_msat=2**64 - 1))
        assert not orders()

    def test_l2_13_parts_of_another_payment_are_not_counted_with_them(self) -> None:
        purchase = bought()
        gathering.hear(part(purchase, SIZE_MSAT - 1))
        gathering.hear(part(purchase, SIZE_MSAT - 1, payment_hash="cd" * 32))
        assert not orders()

    def test_l2_19_without_a_size_the_first_part_is_the_payment(self) -> None:
        purchase = bought(None)
        gathering.hear(part(purchase, 30_000_000))
        assert orders()[0].lsp_balance_sat == 100_000

    @pytest.mark.parametrize("msat", [9_999_999, 4_000_000_001])
    def test_l2_19_a_first_part_of_a_size_that_was_not_offered_goes_back(self, msat: int) -> None:
        one = part(bought(None), msat)
        assert gathering.hear(one) == RESUME  # and our node knows no such channel
        assert decision(one) == ("refuse", "PAYMENT_SIZE") and not orders()

    def test_parts_that_cannot_bear_the_fee_go_back(self) -> None:
        purchase = bought(10_000_000)
        JitPurchase.objects.update(min_fee_msat=9_998_500, min_payment_size_msat=10_000_000)
        one, two = part(purchase, 5_000_000), part(purchase, 5_000_000)
        assert gathering.hear(one) is None
        assert gathering.hear(two) == RESUME
        assert decision(one) == decision(two) == ("refuse", "PARTS_TOO_SMALL")
        assert gathering.answers([one.circuit, two.circuit]) == {one.circuit: RESUME, two.circuit: RESUME}

    def test_what_comes_besides_waits_for_the_same_and_goes_with_it(self) -> None:
        purchase = bought()
        gathering.hear(part(purchase))
        assert gathering.hear(part(purchase, 5_000)) is None
        assert passing.undecided(orders()[0]).count() == 2 and len(orders()) == 1

    def test_another_payment_meanwhile_goes_back_and_may_be_tried_again(self) -> None:
        purchase = bought()
        gathering.hear(part(purchase))
        other = part(purchase, payment_hash="cd" * 32)
        assert gathering.hear(other) == FAIL
        assert decision(other) == ("fail", "ANOTHER_PAYMENT") and len(orders()) == 1


class TestFlaws:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"outgoing_expiry": HEIGHT + 17}, "TOO_FEW_BLOCKS"),
            ({"auto_fail_height": HEIGHT + 17}, "TOO_FEW_BLOCKS"),
            ({"incoming_expiry": HEIGHT + 40 + 143}, "TOO_FEW_BLOCKS_FOR_US"),
        ],
    )
    def test_what_runs_out_too_soon_goes_back_before_our_node_has_to(
        self, changes: dict[str, int], reason: str
    ) -> None:
        one = part(bought(), **changes)
        assert gathering.hear(one) == FAIL
        assert decision(one) == ("fail", reason) and not orders()

    def test_what_its_sender_wishes_for_is_written_however_large_it_is(self) -> None:
        one = part(bought(), outgoing_expiry=2**32 - 1, outgoing_msat=2**64 - 1)
        assert gathering.hear(one) == FAIL
        assert decision(one) == ("fail", "TOO_FEW_BLOCKS_FOR_US") and not orders()

    def test_l2_15_18_what_comes_after_the_promise_is_refused_for_good(self) -> None:
        purchase = bought()
        JitPurchase.objects.update(valid_until=timezone.now() - timedelta(seconds=1))
        one = part(purchase)
        assert gathering.hear(one) == RESUME and decision(one) == ("refuse", "PROMISE_ENDED")

    def test_l2_15_so_is_what_waits_for_its_others_when_the_promise_ends(self) -> None:
        purchase = bought()
        one = part(purchase, SIZE_MSAT - 1)
        gathering.hear(one)
        JitPart.objects.update(heard_at=timezone.now() - timedelta(days=1))
        JitPurchase.objects.update(valid_until=timezone.now() - timedelta(seconds=1))
        assert gathering.end_waiting() == 1 and decision(one) == ("refuse", "PROMISE_ENDED")
        assert gathering.hear(one) == RESUME

    def test_l2_17_too_many_parts_are_refused_for_good(self) -> None:
        purchase = bought()
        said = [gathering.hear(part(purchase, 1_000)) for _ in range(51)]
        assert said == [None] * 50 + [RESUME]

    @pytest.mark.parametrize("name", [SwitchName.SALES, SwitchName.OPENINGS])
    def test_while_staff_have_stopped_it_payments_go_back(self, name: SwitchName) -> None:
        purchase = bought()
        pausing.pause(name, reason="the disk is full", actor=ADA)
        assert gathering.hear(part(purchase)) == FAIL and not orders()

    def test_so_they_do_for_whom_we_do_not_serve(self) -> None:
        purchase = bought()
        banning.add(BanKind.NODE, PEER, reason="asked for by the court of nowhere", actor=ADA)
        assert gathering.hear(part(purchase)) == FAIL and not orders()


class TestTime:
    def test_l2_14_16_what_does_not_come_together_in_time_goes_back_and_the_next_begins_anew(
        self, settings: Any
    ) -> None:
        settings.LSPS2_HOLD_SECONDS = 90
        purchase = bought()
        one = part(purchase, SIZE_MSAT - 1)
        gathering.hear(one)
        JitPart.objects.update(heard_at=timezone.now() - timedelta(seconds=89))
        assert gathering.end_waiting() == 0
        JitPart.objects.update(heard_at=timezone.now() - timedelta(seconds=91))
        late = part(purchase, 1_000_000, payment_hash="cd" * 32)
        gathering.hear(late)
        assert gathering.end_waiting() == 1
        assert gathering.answers([one.circuit, late.circuit]) == {one.circuit: FAIL}
        assert gathering.hear(part(purchase, 2)) is None and not orders()  # what went back is not counted
        assert gathering.hear(part(purchase, SIZE_MSAT - 2)) is None and len(orders()) == 1

    def test_what_is_enough_is_the_orders_and_waits_with_it(self) -> None:
        gathering.hear(part(bought()))
        JitPart.objects.update(heard_at=timezone.now() - timedelta(days=1))
        assert gathering.end_waiting() == 0


class TestForgotten:
    """What went back, and no order came of, is kept for a day: none of it was let on."""

    def gone_back(self) -> Intercepted:
        purchase = bought()
        one = part(purchase, SIZE_MSAT - 1)
        gathering.hear(one)
        JitPart.objects.update(heard_at=timezone.now() - timedelta(days=2))
        assert gathering.end_waiting() == 1
        return one

    def test_a_purchase_whose_parts_went_back_is_counted_like_any_that_is_not_paid(self, settings: Any) -> None:
        settings.LSPS2_PURCHASES_PER_PEER = 1
        self.gone_back()
        with pytest.raises(selling.TooManyOrders):
            bought()

    @pytest.mark.parametrize(("hours", "kept"), [(23, 1), (25, 0)])
    def test_and_is_forgotten_with_them_a_day_later_whenever_they_run_out(self, hours: int, kept: int) -> None:
        self.gone_back()
        JitPurchase.objects.update(valid_until=timezone.now() - timedelta(days=2))
        JitPart.objects.update(decided_at=timezone.now() - timedelta(hours=hours), incoming_expiry=HEIGHT + 2_016)
        assert forgetting.forget() == 1 - kept
        assert JitPart.objects.count() == JitPurchase.objects.count() == kept

    def test_they_are_forgotten_too_while_their_purchase_holds(self) -> None:
        self.gone_back()
        JitPart.objects.update(decided_at=timezone.now() - timedelta(hours=25))
        forgetting.forget()
        assert JitPurchase.objects.exists() and not JitPart.objects.exists()

    def test_what_an_order_came_of_is_kept_for_ever(self) -> None:
        one = part(bought())
        gathering.hear(one)
        JitPart.objects.update(decision=PartDecision.FAIL, decided_at=timezone.now() - timedelta(days=2))
        JitPurchase.objects.update(valid_until=timezone.now() - timedelta(days=2))
        NodeSnapshot.objects.update(block_height=one.incoming_expiry + 1)
        assert forgetting.forget() == 0 and JitPart.objects.exists()


class TestAgain:
    """Our node asks about a part whenever it, we, or the payer's node start anew."""

    def test_what_is_not_decided_is_not_counted_twice(self) -> None:
        purchase = bought()
        one = part(purchase, SIZE_MSAT // 2)
        assert [gathering.hear(one) for _ in range(3)] == [None] * 3
        assert JitPart.objects.count() == 1 and not orders()

    def test_what_was_failed_is_failed_again(self) -> None:
        purchase = bought()
        one = part(purchase, SIZE_MSAT // 2)
        gathering.hear(one)
        JitPart.objects.update(heard_at=timezone.now() - timedelta(days=1))
        gathering.end_waiting()
        assert gathering.hear(one) == gathering.hear(one) == FAIL

    def test_what_went_on_goes_on_again_with_the_same_amount_and_fee_whatever_has_become_of_the_order(self) -> None:
        purchase = bought()
        one = part(purchase)
        gathering.hear(one)
        fee_msat = purchase.min_fee_msat
        JitPart.objects.update(decision=PartDecision.RESUME, decided_at=timezone.now(), fee_msat=fee_msat)
        JitPurchase.objects.update(opened_at=timezone.now())
        wanted = resume_with(SIZE_MSAT - fee_msat, fee_msat=fee_msat)
        assert gathering.hear(one) == gathering.hear(one) == wanted
        assert gathering.answers([one.circuit]) == {one.circuit: wanted}
        gathering.lose(one)
        assert gathering.hear(one) == wanted  # its other half may be taken

    def test_a_part_whose_channel_is_being_closed_by_force_is_not_counted_on_any_more(self) -> None:
        purchase = bought()
        one, two = part(purchase, SIZE_MSAT // 2), part(purchase, SIZE_MSAT // 2)
        gathering.hear(one)
        gathering.lose(one)
        assert gathering.hear(two) is None and not orders()
        assert decision(one) == ("fail", "CHANNEL_CLOSED")
