"""What costs its holder nothing keeps nobody out, and is forgotten once nobody can ask about it any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.parts import FAIL
from orders import leases, queries
from orders.causes import FlagKind
from orders.errors import NotAvailable
from orders.jit import forgetting, gathering, room, selling
from orders.models import ChannelOrder, HoldInvoice, JitPart, JitPurchase, NodeSnapshot, PartDecision, Service
from orders.models.service import AfterLease
from orders.operations import expiring, leasing
from orders.payments.lightning import passing
from orders.payments.lightning.passing import Become, Outcome
from orders.states import InvoiceState, OrderState
from tests import factories
from tests.factories import pubkey
from tests.integration.lsps2 import OTHER, PEER
from tests.integration.test_jit_gathering import ADA, HEIGHT, SIZE_MSAT, bought, decision, orders, part, shop

__all__ = ["shop"]
THIRD = pubkey(3)


def holders() -> list[str]:
    standing = JitPurchase.objects.filter(valid_until__gt=timezone.now()).order_by("pk")
    return [purchase.node_pubkey for purchase in standing]


class TestPurchases:
    @pytest.fixture(autouse=True)
    def few(self, settings: Any) -> None:
        settings.LSPS2_PURCHASES = 3

    def test_where_there_are_too_many_the_oldest_gives_way_of_who_has_most(self) -> None:
        first = bought(peer=OTHER)
        oldest, newer = bought(), bought()
        bought(peer=THIRD)
        assert holders() == [OTHER, PEER, THIRD]
        assert gathering.is_ours(first.number) and gathering.is_ours(newer.number)
        assert not gathering.is_ours(oldest.number)

    def test_who_would_have_most_himself_gives_way_to_himself(self) -> None:
        for peer in (OTHER, THIRD, PEER, PEER):
            bought(peer=peer)
        assert holders() == [OTHER, THIRD, PEER]

    def test_a_payment_that_is_on_its_way_keeps_its_purchase(self) -> None:
        waiting, under_way = bought(), bought()
        gathering.hear(part(waiting, SIZE_MSAT - 1))
        gathering.hear(part(under_way, payment_hash="cd" * 32))
        bought()
        bought(peer=OTHER)
        assert holders() == [PEER, PEER, OTHER]
        assert JitPurchase.objects.filter(pk__in=[waiting.pk, under_way.pk]).count() == 2

    def test_and_where_there_are_payments_for_all_nobody_buys(self) -> None:
        for _ in range(3):
            gathering.hear(part(bought(), SIZE_MSAT - 1))
        with pytest.raises(NotAvailable):
            bought(peer=OTHER)

    def test_one_that_parts_came_for_and_went_back_gives_way_and_what_comes_later_is_refused(self) -> None:
        first = bought()
        gathering.hear(part(first, SIZE_MSAT - 1))
        JitPart.objects.update(heard_at=timezone.now() - timedelta(days=1))
        gathering.end_waiting()
        for peer in (PEER, OTHER, THIRD):
            bought(peer=peer)
        late = part(first)
        gathering.hear(late)
        assert decision(late) == ("refuse", "PROMISE_ENDED")

    def test_they_are_counted_by_one_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        held: list[Any] = []
        hold = selling.locks.hold
        monkeypatch.setattr(selling.locks, "hold", lambda lock: held.append(lock) or hold(lock))
        bought()
        assert selling.Lock.PURCHASES in held


class TestParts:
    def many(self, purchase: JitPurchase, count: int, msat: int) -> None:
        """Of as many payments."""
        for number in range(count):
            gathering.hear(part(purchase, msat, payment_hash=f"{number:064x}"))

    def test_whoever_floods_a_number_with_little_keeps_no_payment_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "MOST_WAITING", 5)
        purchase = bought()
        self.many(purchase, 5, 1_000)
        for _ in range(4):
            assert gathering.hear(part(purchase, SIZE_MSAT // 4)) is None
        assert len(orders()) == 1

    def test_the_least_goes_back_and_may_be_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "MOST_WAITING", 5)
        purchase = bought()
        self.many(purchase, 5, 1_001)
        least = part(purchase, 1_000)
        assert gathering.hear(least) == FAIL and decision(least) == ("fail", "TOO_MANY_WAIT")
        assert gathering.hear(least) == FAIL
        assert JitPart.objects.filter(decision="").count() == 5

    def test_nor_does_whoever_floods_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "MOST_IN_ALL", 5)
        for _ in range(5):
            gathering.hear(part(bought(peer=OTHER), 1_000))
        assert gathering.hear(part(bought(), 1_001)) is None
        assert JitPart.objects.filter(decision="").count() == 5

    def test_what_is_enough_is_nobodys_to_give_way_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "MOST_WAITING", 0)
        gathering.hear(part(bought()))
        assert len(orders()) == 1

    def test_of_one_payment_no_more_go_on_than_may_wait(self) -> None:
        purchase = bought()
        gathering.hear(part(purchase))
        JitPart.objects.update(decision=PartDecision.RESUME, decided_at=timezone.now())
        for _ in range(49):
            gathering.hear(part(purchase, 1_000))
        late = part(purchase, 1_000)
        assert gathering.hear(late) == FAIL and decision(late) == ("fail", "TOO_MANY_PARTS")

    def test_those_that_came_back_are_no_hindrance_to_the_same_payment_once_more(self) -> None:
        purchase = bought()
        for _ in range(50):
            gathering.hear(part(purchase, SIZE_MSAT // 50))
        JitPart.objects.update(decision=PartDecision.RESUME, decided_at=timezone.now())
        [order] = orders()
        order.state = OrderState.REFUNDED
        order.save()
        HoldInvoice.objects.update(state=InvoiceState.CANCELLED)  # when: too long ago to have to wait
        again = part(purchase)
        assert gathering.hear(again) is None and decision(again) == ("", "")


class TestForgotten:
    def test_of_what_went_back_the_newest_are_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(forgetting, "_MOST_KEPT", 2)
        for purchase in (bought(), bought()):
            for number in range(3):
                gathering.hear(part(purchase, 1_000 + number, payment_hash=f"{number:064x}"))
        JitPart.objects.update(heard_at=timezone.now() - timedelta(days=1))
        gathering.end_waiting()
        assert forgetting.forget() == 0 and JitPart.objects.count() == 6  # our node may not know yet
        JitPart.objects.update(decided_at=timezone.now() - timedelta(minutes=2))
        assert forgetting.forget() == 0 and JitPart.objects.count() == 4

    @pytest.fixture
    def paid(self) -> None:
        """In three parts, two days ago."""
        purchase = bought()
        for _ in range(3):
            gathering.hear(part(purchase, SIZE_MSAT // 3 + 1))
        long_ago = timezone.now() - timedelta(days=2)
        JitPart.objects.update(decision=PartDecision.RESUME, decided_at=long_ago)
        HoldInvoice.objects.update(state=InvoiceState.SETTLED, settled_at=long_ago)
        [order] = orders()
        order.state = OrderState.OPEN
        order.save()
        NodeSnapshot.objects.update(block_height=HEIGHT + 40 + purchase.cltv_expiry_delta + 145)

    def test_of_an_order_that_is_over_one_part_says_what_was_bought(self, paid: None) -> None:
        forgetting.forget()
        [kept] = JitPart.objects.all()
        assert passing.purchase_of(orders()[0]) == kept.purchase

    @pytest.mark.parametrize("what", ["height", "payment", "lately"])
    def test_and_as_long_as_one_may_come_again_all_are_kept(self, paid: None, what: str) -> None:
        if what == "height":
            NodeSnapshot.objects.update(block_height=HEIGHT + 40 + 144 + 144)
        if what == "payment":
            HoldInvoice.objects.update(state=InvoiceState.HELD, settled_at=None)
        if what == "lately":
            HoldInvoice.objects.update(settled_at=timezone.now() - timedelta(hours=23))
        forgetting.forget()
        assert JitPart.objects.count() == 3

    def test_a_purchase_that_somebody_pays_for_just_now_is_none_of_those_that_nobody_used(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        purchase = bought()
        gathering.hear(part(purchase, 1_000))
        JitPurchase.objects.update(valid_until=timezone.now() - timedelta(days=2))
        assert forgetting.forget() == 0 and JitPurchase.objects.exists()


class TestUnpaid:
    """What was published, and nobody paid for, is promised for a day: then the schedule closes it where it may."""

    def mined(self) -> ChannelOrder:
        gathering.hear(part(bought()))
        [order] = orders()
        factories.OpeningFactory(order=order, zero_conf=True, announced=False)
        order.state, order.lease_starts_height, order.lease_starts_at = OrderState.OPEN, HEIGHT, timezone.now()
        leases.reckon(order)
        order.save()
        assert order.lease_ends_height == HEIGHT + 4_320
        return order

    @pytest.mark.parametrize(
        ("outcome", "missing_sat", "blocks"),
        [
            (Outcome.GONE, 0, 144),
            (Outcome.TAKEN, 0, 4_320),
            (Outcome.TAKEN_IN_PART, 0, 4_320),
            (Outcome.TAKEN_IN_PART, 1, 144),
            (Outcome.TAKEN_IN_PART, None, 144),  # nothing was kept
        ],
    )
    def test_its_coins_are_not_kept_for_as_long_as_was_on_offer(
        self, outcome: Outcome, missing_sat: int | None, blocks: int
    ) -> None:
        order = self.mined()
        kept_sat = 0 if missing_sat is None else order.fee_total_sat - missing_sat
        passing.conclude(order.pk, Become(outcome, kept_sat * 1000))
        order.refresh_from_db()
        assert order.lease_ends_height == HEIGHT + blocks
        is_unpaid = order.flags.filter(kind=FlagKind.UNPAID_CHANNEL).exists()
        assert is_unpaid == (blocks == 144)  # a part that the wallet leaves, and that bears no fee, costs us nothing
        assert order.lease_ends_at - order.lease_starts_at == timedelta(seconds=600 * blocks)
        Service.objects.update(after_lease=AfterLease.CLOSE)
        NodeSnapshot.objects.update(block_height=HEIGHT + 144)
        tomorrow = timezone.now() + timedelta(days=1, seconds=1)
        assert [each.pk for each in expiring.expired(tomorrow)] == ([order.pk] if blocks == 144 else [])

    def test_nor_where_it_is_mined_after_that(self) -> None:
        order = self.mined()
        passing.conclude(order.pk, Become(Outcome.TAKEN_IN_PART))
        order = queries.order_or_raise(order.pk)
        leases.reckon(order)
        assert order.lease_ends_height == HEIGHT + 144

    def test_a_gift_of_days_makes_it_longer(self) -> None:
        order = self.mined()
        passing.conclude(order.pk, Become(Outcome.GONE))
        leasing.extend(order.pk, days=2, reason="its owner has called", actor=ADA)
        order.refresh_from_db()
        assert order.lease_ends_height == HEIGHT + 3 * 144
