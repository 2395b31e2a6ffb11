"""A wallet's node that starts anew forgets that it takes less than was sent over the channels that it has."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import pytest

from lightning.types import NodeAddress
from orders.causes import FlagKind
from orders.jit import exposure
from orders.models import ChannelOpening, ChannelOrder, JitPart, JitPurchase
from orders.openings import carrying, committing
from orders.payments.lightning import passing
from orders.states import InvoiceState, OpeningState, OrderState
from tests.regtest.payment import FAILED, IN_FLIGHT
from tests.regtest.waiting import until
from tests.simulator.just_in_time import SIZE_SAT, JustInTime
from tests.simulator.test_just_in_time import fee_sat, gone_back, jit, paid
from tests.simulator.test_just_in_time_again import ended_long_ago

__all__ = ["jit"]


def goes_before_it_goes_on(
    jit: JustInTime, monkeypatch: pytest.MonkeyPatch, *, and_comes_back: bool = False
) -> list[str]:
    """The wallet's node is gone once its channel is there, before its payment has gone on; says whether it was."""
    begin, gone = carrying._begin, []

    def dies(*_: Any) -> None:
        monkeypatch.setattr(carrying, "_begin", begin)
        jit.wallet.kill()
        if and_comes_back:
            comes_back(jit)
        gone.append(jit.wallet.name)

    monkeypatch.setattr(carrying, "_begin", dies)
    return gone


def away_when_promised(jit: JustInTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wallet's node is gone when its channel is to be promised for the first time, and back right after that."""
    look, seen = committing.connection, []

    def away(pubkey: str, node: Any) -> str:
        if seen:
            return look(pubkey, node)
        jit.wallet.kill()
        seen.append(look(pubkey, node))
        comes_back(jit)
        return seen[0]

    monkeypatch.setattr(committing, "connection", away)


def comes_back(jit: JustInTime) -> None:
    jit.wallet.start()
    jit.shop.node.connect(NodeAddress.parse(jit.wallet.p2p_address), timeout_seconds=5)


class TestGoneBeforeItGoesOn:
    def test_it_gets_another_channel_when_it_is_back_and_takes_its_payment_over_that(
        self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        goes_before_it_goes_on(jit, monkeypatch)
        payment = jit.pay(jit.buy())
        jit.run(lambda: ChannelOpening.objects.filter(state=OpeningState.FAILED).exists(), "the first is left")
        assert not jit.channels() and payment.status() == IN_FLIGHT
        comes_back(jit)
        order = paid(jit, payment)
        assert order.openings.count() == 2 and len(jit.channels()) == 1
        assert jit.journal().count("parts_passed_on") == 1

    def test_so_it_does_where_it_is_back_before_anybody_has_seen_it_away(
        self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        goes_before_it_goes_on(jit, monkeypatch, and_comes_back=True)
        order = paid(jit, jit.pay(jit.buy()))
        failed = order.openings.get(state=OpeningState.FAILED)
        assert (failed.failure_reason, failed.attempt) == ("PEER_NOT_REACHABLE", 1) and len(jit.channels()) == 1
        assert jit.journal().count("parts_passed_on") == 1

    def test_so_it_does_where_it_is_away_when_that_is_promised_and_back_at_once(
        self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        away_when_promised(jit, monkeypatch)
        order = paid(jit, jit.pay(jit.buy()))
        assert order.openings.get(state=OpeningState.FAILED).failure_reason == "PEER_NOT_REACHABLE"
        assert jit.journal().count("parts_passed_on") == 1 and len(jit.channels()) == 1

    def test_control_promised_all_the_same_it_counts_as_refused_and_its_payer_has_to_try_again(
        self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        away_when_promised(jit, monkeypatch)
        look = committing.connection
        monkeypatch.setattr(committing, "_connection", lambda _, opening, node: look(opening.node_pubkey, node))
        order = gone_back(jit, jit.pay(jit.buy()))
        assert order.openings.get().failure_reason == "FAILED_OPENING" and "opening_carrying" in jit.journal()

    @pytest.mark.parametrize("seen", [True, False])
    def test_control_over_the_one_that_it_had_it_fails_it(
        self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch, seen: bool
    ) -> None:
        monkeypatch.setattr(carrying, "_has_stayed", lambda *_: True)
        gone = goes_before_it_goes_on(jit, monkeypatch, and_comes_back=not seen)
        purchase = jit.buy()
        payment = jit.pay(purchase)
        jit.run(lambda: bool(gone), "it is gone")
        if seen:
            comes_back(jit)
        order = gone_back(jit, payment)
        assert order.openings.count() == 1 and "parts_passed_on" in jit.journal()
        assert exposure._risked_sat() == 0 and not jit.shop.node.leases() and not order.standing
        ended_long_ago()
        paid(jit, jit.pay(purchase))


class TestAnOlderChannel:
    """Our node passes a part on over whichever channel with its wallet has room for it: here over the older one."""

    @pytest.fixture(autouse=True)
    def older(self, jit: JustInTime) -> None:
        self.open(jit, SIZE_SAT * 2)

    def open(self, jit: JustInTime, capacity_sat: int) -> None:
        jit.shop.network.lsp.control.open_channel(jit.wallet.name, capacity_sat, by_us=True)
        jit.shop.network.mine(6)

    def starts_anew(self, jit: JustInTime) -> None:
        jit.wallet.kill()
        comes_back(jit)

    def test_brings_its_wallet_all_but_the_fee_and_the_channel_that_it_has_paid_for(self, jit: JustInTime) -> None:
        order = paid(jit, jit.pay(jit.buy()))
        older, new = jit.channels()
        assert (older.remote_balance_sat, new.remote_balance_sat) == (SIZE_SAT - fee_sat(jit), 0)
        assert order.hold_invoice.held_sat == fee_sat(jit) and not order.standing and exposure._risked_sat() == 0
        assert len(order.openings.all()) == 1 and new.memo

    def test_fails_what_bears_the_fee_where_the_wallet_has_started_anew_and_nobody_loses_anything(
        self, jit: JustInTime
    ) -> None:
        self.starts_anew(jit)
        self.comes_to_nothing(jit, jit.pay(jit.buy()))
        assert "parts_passed_on" in jit.journal()

    def test_so_too_what_it_holds_of_the_other_parts_until_it_gives_up(self, jit: JustInTime) -> None:
        self.starts_anew(jit)
        payment = jit.pay(jit.buy(), max_parts=4)
        jit.run(lambda: sum(len(each.htlcs) for each in jit.channels()) == 3, "one has come back")
        assert jit.order().state == OrderState.URI_SET and payment.status() == IN_FLIGHT
        jit.wallet.change(takes="fails")
        self.comes_to_nothing(jit, payment)

    def comes_to_nothing(self, jit: JustInTime, payment: Any) -> None:
        jit.run(lambda: jit.order().state == OrderState.REFUNDED, "it is over")
        assert payment.status() == FAILED and len(jit.channels()) == 1 and not jit.shop.network.chain.mempool()
        assert exposure._risked_sat() == 0 and not jit.shop.node.leases() and not jit.order().standing

    def pays_in_two(self, jit: JustInTime) -> JitPurchase:
        """A small part that the older channel has room for, and a large one that it has not."""
        self.starts_anew(jit)
        purchase = jit.buy(SIZE_SAT * 3)
        asked = jit.ask(purchase, SIZE_SAT * 3)
        for part_msat in (SIZE_SAT // 2 * 1000, SIZE_SAT * 5 // 2 * 1000):
            jit.payer.pay_part(asked, part_msat)
        return purchase

    def test_has_no_room_for_the_largest_part_which_bears_the_fee(self, jit: JustInTime) -> None:
        self.pays_in_two(jit)
        jit.run(lambda: jit.order().state == OrderState.OPEN, "it is paid")
        assert sum(each.remote_balance_sat for each in jit.channels()) == SIZE_SAT * 3 - fee_sat(jit)

    def test_control_else_the_wallet_fails_the_small_one(
        self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def first(parts_msat: Sequence[int], fee_msat: int) -> list[int]:
            return [fee_msat] + [0] * (len(parts_msat) - 1)

        monkeypatch.setattr(passing, "shares", first)
        purchase = self.pays_in_two(jit)
        jit.run(lambda: "parts_passed_on" in jit.journal(), "it goes on")
        until(lambda: len(jit.channels()[-1].htlcs) == 1, "the other waits")
        jit.wallet.change(takes="fails")
        jit.run(lambda: jit.order().state == OrderState.REFUNDED, "nothing is taken")
        assert purchase.parts.filter(fee_msat__gt=0).get().incoming_msat == SIZE_SAT // 2 * 1000


class TestThePartThatBearsTheFeeComesBack:
    """Its payer sends it once more, while the wallet waits for it with the others."""

    @pytest.fixture(autouse=True)
    def older(self, jit: JustInTime) -> None:
        """What comes over it less the fee the wallet fails; it is closed by then."""
        jit.shop.network.lsp.control.open_channel(jit.wallet.name, SIZE_SAT * 3 // 4, by_us=True)
        jit.shop.network.mine(6)
        jit.wallet.kill()
        comes_back(jit)

    def sent_again(self, jit: JustInTime) -> ChannelOrder:
        asked, older = jit.ask(jit.buy()), jit.channels()[0]
        for part_sat in (SIZE_SAT * 3 // 5, SIZE_SAT * 2 // 5):
            jit.payer.pay_part(asked, part_sat * 1000)
        jit.run(lambda: "parts_passed_on" in jit.journal(), "they go on")
        until(lambda: JitPart.objects.count() == 2 and jit.payer.channels()[0].num_updates >= 3, "one is back")
        jit.wallet.close_channel(str(older.outpoint))
        jit.payer.pay_part(asked, SIZE_SAT * 3 // 5 * 1000)
        jit.run(lambda: jit.order().state == OrderState.OPEN, "it is paid")
        return jit.order()

    def test_it_bears_it_again(self, jit: JustInTime) -> None:
        order = self.sent_again(jit)
        assert [part.fee_msat for part in order.jit_parts.all()] == [0, 0, fee_sat(jit) * 1000]
        assert (order.hold_invoice.state, order.hold_invoice.held_sat) == (InvoiceState.SETTLED, fee_sat(jit))
        assert not order.standing and exposure._risked_sat() == 0

    def test_control_else_it_goes_on_whole_and_the_channel_is_unpaid(
        self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(passing.Passed, "fee_came_back", lambda *_: ())
        order = self.sent_again(jit)
        assert order.hold_invoice.held_sat == 0 and [each.kind for each in order.standing] == [FlagKind.UNPAID_CHANNEL]

    def test_where_its_channel_is_being_closed_nobody_knows_that_it_has_come_back(self, jit: JustInTime) -> None:
        order = self.sent_again(jit)
        passed = passing.Passed(tuple(order.jit_parts.filter(fee_msat__gt=0)), order.hold_invoice.payment_hash)
        gone = replace(passed, parts=tuple(unlike(part) for part in passed.parts))
        assert not passed.fee_came_back(jit.shop.node) and gone.fee_came_back(jit.shop.node) == gone.parts
        JitPart.objects.update(chan_id="7")
        assert not passing.of(order).fee_came_back(jit.shop.node)


def unlike(part: JitPart) -> JitPart:
    """One that came by the same channel, and is no more, and that nobody has taken."""
    part = copy(part)
    part.htlc_id += 1_000
    return part
