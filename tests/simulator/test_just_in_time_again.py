"""A payment that comes to nothing leaves the wallet its number: the next one gets its channel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.errors import NodeUnavailable
from lightning.node import LndNode
from lightning.types import NodeAddress
from orders.jit import exposure, gathering
from orders.models import ChannelOpening, ChannelOrder, HoldInvoice, JitPart, JitPurchase, PartDecision
from orders.nudges import nudge_all
from orders.openings import cancelling, carrying
from orders.payments.lightning import passing
from orders.states import InvoiceState, OpeningState, OrderState
from tests.regtest.payment import FAILED, IN_FLIGHT, SUCCEEDED
from tests.regtest.waiting import NeverHappened, until
from tests.simulator.just_in_time import SIZE_SAT, JustInTime
from tests.simulator.test_just_in_time import fee_sat, gone_back, jit, paid

__all__ = ["jit"]


def ended_long_ago() -> None:
    """The number need not wait any more."""
    HoldInvoice.objects.exclude(cancelled_at=None).update(cancelled_at=timezone.now() - exposure._FIRST_WAIT)


@pytest.fixture
def stranger(jit: JustInTime, add_peer: Callable[..., Any]) -> Any:
    """Who asks to be paid over a number that he was shown: its wallet knows nothing of that."""
    return add_peer()


class TestAStranger:
    def test_does_not_use_a_purchase_up_and_the_wallets_own_payment_gets_its_channel(
        self, jit: JustInTime, stranger: Any
    ) -> None:
        purchase = jit.buy()
        gone_back(jit, jit.payer.pay(jit.ask(purchase, wallet=stranger)))
        assert "parts_passed_on" in jit.journal()
        assert not any(purchase.number in names for names in jit.shop.node.aliases().values())
        ended_long_ago()
        paid(jit, jit.pay(purchase))
        assert jit.channels()[0].remote_balance_sat == SIZE_SAT - fee_sat(jit)
        [name] = [name for name, names in jit.shop.node.aliases().items() if purchase.number in names]
        assert name == jit.channels()[0].known_as

    def test_control_a_number_that_is_not_taken_back_is_lost_with_its_channel(
        self, jit: JustInTime, stranger: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(passing, "take_number_back", lambda *_: None)
        purchase = jit.buy()
        gone_back(jit, jit.payer.pay(jit.ask(purchase, wallet=stranger)))
        ended_long_ago()
        payment = jit.pay(purchase)
        jit.run(lambda: ChannelOrder.objects.count() == 2, "it is weighed")
        gone_back(jit, payment)
        assert "parts_passed_on" not in jit.journal()

    @pytest.mark.parametrize("step", ["remove_alias", "_record_failed"])
    def test_nor_where_we_die_while_it_is_taken_back(
        self, jit: JustInTime, stranger: Any, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        owner: Any = LndNode if step == "remove_alias" else cancelling
        call, died = getattr(owner, step), []

        def dying(*given: Any, **more: Any) -> None:
            monkeypatch.setattr(owner, step, call)
            died.append(step)
            raise KeyboardInterrupt

        monkeypatch.setattr(owner, step, dying)
        purchase = jit.buy()
        payment = jit.payer.pay(jit.ask(purchase, wallet=stranger))
        with pytest.raises(KeyboardInterrupt):
            gone_back(jit, payment)
        gone_back(jit, payment)
        ended_long_ago()
        paid(jit, jit.pay(purchase))
        assert died

    def test_a_macaroon_that_does_not_allow_it_keeps_no_attempt_from_its_end(
        self, jit: JustInTime, stranger: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(*_: Any) -> None:
            raise NodeUnavailable("permission denied", reason="PERMISSION_DENIED")

        monkeypatch.setattr(LndNode, "remove_alias", refused)
        gone_back(jit, jit.payer.pay(jit.ask(jit.buy(), wallet=stranger)))

    def test_a_channel_that_is_there_keeps_its_number(self, jit: JustInTime) -> None:
        purchase = jit.buy()
        paid(jit, jit.pay(purchase))
        passing.take_number_back(jit.order(), jit.shop.node)
        assert purchase.number in jit.channels()[0].aliases


def test_a_number_that_its_channel_had_to_its_end_is_no_channels_any_more(jit: JustInTime) -> None:
    purchase = jit.buy()
    paid(jit, jit.pay(purchase))
    jit.shop.network.mine(6)
    jit.run(lambda: bool(jit.channels()[0].short_channel_id), "it is deep")
    jit.wallet.close_channel(str(jit.channels()[0].outpoint))
    jit.shop.network.mine(6)
    nudge_all([jit.order().pk])
    jit.run(lambda: jit.order().state == OrderState.CLOSED, "it is over")
    jit.run(lambda: not any(purchase.number in names for names in jit.shop.node.aliases().values()), "it is taken back")
    assert jit.pay(purchase, 50_000).wait() == FAILED


class TestUntilItIsPublished:
    """Nothing goes on over a channel that may yet come to nothing without a row that says so."""

    @pytest.fixture
    def purchase(self, jit: JustInTime) -> Iterator[JitPurchase]:
        """Its payment is with the wallet, which holds it."""
        with jit.wallet.holding_payments():
            purchase = jit.buy()
            self.payment = jit.pay(purchase)
            jit.run(lambda: bool(jit.channels() and jit.channels()[0].htlcs), "the wallet holds it")
            yield purchase

    def test_another_payment_waits_and_goes_on_once_it_is(self, jit: JustInTime, purchase: JitPurchase) -> None:
        other = jit.pay(purchase, 50_000)
        assert other.wait() == FAILED and other.failure == "TEMPORARY_CHANNEL_FAILURE"
        part = JitPart.objects.latest("pk")
        assert (part.decision, part.reason) == (PartDecision.FAIL, "ANOTHER_PAYMENT")
        assert len(jit.channels()[0].htlcs) == 1 and JitPurchase.objects.get().opened_at is None
        jit.wallet.change(takes="settles")
        paid(jit, self.payment)
        assert JitPurchase.objects.get().opened_at is not None
        assert jit.pay(purchase, 50_000).wait() == SUCCEEDED
        assert JitPart.objects.count() == 2  # of the last there is none

    def test_nor_does_what_is_otherwise_refused_by_letting_it_go(self, jit: JustInTime, purchase: JitPurchase) -> None:
        JitPurchase.objects.update(valid_until=timezone.now())
        other = jit.pay(purchase, 50_000)
        assert other.wait() == FAILED and other.failure == "TEMPORARY_CHANNEL_FAILURE"
        assert JitPart.objects.latest("pk").reason == "PROMISE_ENDED"

    def test_control_it_would_go_on_over_the_new_channel(
        self, jit: JustInTime, purchase: JitPurchase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        turn_back = gathering._turn_back
        monkeypatch.setattr(gathering, "_turn_back", lambda *given, **_: turn_back(*given))
        JitPurchase.objects.update(valid_until=timezone.now())
        other = jit.pay(purchase, 50_000)
        until(lambda: len(jit.channels()[0].htlcs) == 2, "the wallet has both")
        assert other.status() == IN_FLIGHT


def late(jit: JustInTime, monkeypatch: pytest.MonkeyPatch, *, number: int) -> threading.Event:
    """The part of this number is heard of once the event is set."""
    hear, heard, may = gathering.hear, [], threading.Event()

    def slowly(part: Any) -> Any:
        if part.circuit not in heard and gathering.is_ours(part.scid):  # not what another test has left behind
            heard.append(part.circuit)
        if part.circuit in heard and heard.index(part.circuit) == number:
            may.wait(30)
        return hear(part)

    monkeypatch.setattr(gathering, "hear", slowly)
    return may


def test_a_part_that_comes_after_the_others_have_gone_on_goes_after_them_whole(
    jit: JustInTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    may = late(jit, monkeypatch, number=2)
    payment = jit.pay(jit.buy(SIZE_SAT), SIZE_SAT * 3 // 2, max_parts=3)
    jit.run(lambda: JitPart.objects.filter(decision=PartDecision.RESUME).count() == 2, "two have gone on")
    assert payment.status() == IN_FLIGHT
    may.set()
    paid(jit, payment)
    parts = list(JitPart.objects.order_by("pk"))
    assert [part.fee_msat for part in parts] == [fee_sat(jit) * 1000, 0, 0]
    assert [part.moves[str(jit.channels()[0].outpoint)] > 0 for part in parts] == [False, False, True]
    assert jit.channels()[0].remote_balance_sat == SIZE_SAT * 3 // 2 - fee_sat(jit)


def test_control_else_its_wallet_waits_for_it_in_vain(jit: JustInTime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "_with_the_rest", lambda *_, **__: None)
    may = late(jit, monkeypatch, number=2)
    payment = jit.pay(jit.buy(SIZE_SAT), SIZE_SAT * 3 // 2, max_parts=3)
    jit.run(lambda: JitPart.objects.filter(decision=PartDecision.RESUME).count() == 2, "two have gone on")
    may.set()
    until(lambda: JitPart.objects.count() == 3, "it is there")
    with pytest.raises((NeverHappened, AssertionError)):
        jit.run(lambda: bool(payment.status() == SUCCEEDED), timeout=5)


def test_nor_does_it_go_on_where_another_has_the_coins_of_its_channel(
    jit: JustInTime, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    may = late(jit, monkeypatch, number=2)
    jit.pay(jit.buy(SIZE_SAT), SIZE_SAT * 3 // 2, max_parts=3)
    jit.run(lambda: bool(jit.channels() and len(jit.channels()[0].htlcs) == 2), "two have gone on")
    seconds = settings.FUNDING_LEASE_SECONDS + 60
    jit.shop.network.lsp.control.pass_time(seconds)
    opening = ChannelOpening.objects.select_related("transaction").get()
    ChannelOpening.objects.update(changed_at=timezone.now() - timedelta(seconds=seconds))
    assert opening.transaction is not None
    jit.shop.node.lease(opening.transaction.spends[0], lock_id=b"\x07" * 32, seconds=600)
    may.set()
    jit.run(lambda: JitPart.objects.count() == 3 and not passing.undecided(jit.order()).exists(), "it is decided")
    part = JitPart.objects.latest("pk")
    assert (part.decision, part.reason) == (PartDecision.FAIL, "COINS_GONE")
    assert len(jit.channels()[0].htlcs) == 2


def leaves_too_soon(jit: JustInTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wallet's node is gone when the payment has been decided to go on to it."""
    record = passing._record_passed_on

    def and_gone(*given: Any) -> bool:
        monkeypatch.setattr(passing, "_record_passed_on", record)
        jit.wallet.kill()
        return record(*given)

    monkeypatch.setattr(passing, "_record_passed_on", and_gone)


class TestNeverReached:
    """The wallet's node goes when its payment is let on: our node has nobody to give it to."""

    @pytest.fixture
    def gone(self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch) -> JitPurchase:
        leaves_too_soon(jit, monkeypatch)
        purchase = jit.buy()
        gone_back(jit, jit.pay(purchase))
        assert "parts_passed_on" in jit.journal()
        jit.wallet.start()
        jit.shop.node.connect(NodeAddress.parse(jit.wallet.p2p_address), timeout_seconds=5)
        return purchase

    def test_it_is_not_the_wallets_failure_and_it_is_paid_at_once(self, jit: JustInTime, gone: JitPurchase) -> None:
        assert jit.order().give_up_reason == "PEER_NOT_REACHABLE"
        paid(jit, jit.pay(gone))

    def test_what_the_wallet_has_failed_is(self, jit: JustInTime) -> None:
        jit.wallet.change(takes="fails")
        gone_back(jit, jit.pay(jit.buy()))
        assert jit.order().give_up_reason == "FAILED_OPENING"

    def test_and_where_it_has_another_channel_nobody_knows_whether_it_was(
        self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jit.shop.network.lsp.control.open_channel(jit.wallet.name, 100_000, by_us=True)
        jit.shop.network.mine(6)
        leaves_too_soon(jit, monkeypatch)
        jit.pay(jit.buy())
        jit.run(lambda: jit.order().state == OrderState.REFUNDED, "it is over")
        assert jit.order().give_up_reason == "FAILED_OPENING"
        assert jit.order().hold_invoice.state == InvoiceState.CANCELLED
        assert ChannelOpening.objects.get().state == OpeningState.FAILED


def closes_at_once(
    jit: JustInTime, monkeypatch: pytest.MonkeyPatch, *, force: bool, before: Callable[[], None] = lambda: None
) -> Any:
    """The payment, which the wallet fails; then it closes its channel."""
    pass_on, payments = passing.pass_on, []

    def and_closed(order_id: Any, channel: Any, node: Any) -> bool:
        monkeypatch.setattr(passing, "pass_on", pass_on)
        went_on = pass_on(order_id, channel, node)
        until(lambda: payments and payments[0].status() == FAILED, "it has come back")
        before()
        jit.wallet.close_channel(str(channel.outpoint), force=force)
        return went_on

    monkeypatch.setattr(passing, "pass_on", and_closed)
    jit.wallet.change(takes="fails")
    payments.append(jit.pay(jit.buy()))
    return payments[0]


@pytest.mark.parametrize("force", [False, True])
class TestClosedAtOnce:
    def test_what_is_empty_is_never_published(
        self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch, force: bool
    ) -> None:
        order = gone_back(jit, closes_at_once(jit, monkeypatch, force=force))
        assert "parts_passed_on" in jit.journal() and "funding_published" not in jit.journal()
        assert order.give_up_reason == "FAILED_OPENING" and not order.standing

    def test_what_somebody_has_paid_over_another_of_its_names_is(
        self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch, force: bool
    ) -> None:
        def paid_besides() -> None:
            jit.wallet.change(takes="settles")
            [channel] = jit.channels()
            asked = jit.wallet.ask(jit.shop.network.lsp, 1_000, scid=channel.known_as, cltv_blocks=144)
            assert jit.payer.pay(asked).wait() == SUCCEEDED

        monkeypatch.setattr(carrying, "is_empty", without_balance(carrying.is_empty))
        closes_at_once(jit, monkeypatch, force=force, before=paid_besides)
        jit.run(lambda: "funding_published" in jit.journal(), "it is published")


def without_balance(is_empty: Callable[..., bool]) -> Callable[..., bool]:
    """As where what was taken has not reached the channel's balance yet."""

    def looked(order: Any, opening: Any, node: Any) -> bool:
        return is_empty(order, opening, node) or passing.left_nothing(order, node)

    return looked


def test_of_a_wallet_of_one_coin_the_second_waits_for_its_change_until_its_time_is_over(jit: JustInTime) -> None:
    for coin in jit.shop.node.coins(min_confirmations=0)[1:]:
        jit.shop.node.lease(coin.outpoint, lock_id=b"\x07" * 32, seconds=600)
    with jit.wallet.holding_payments():
        first = jit.pay(jit.buy())
        jit.run(lambda: bool(jit.channels() and jit.channels()[0].htlcs), "the wallet holds the first")
        second = jit.pay(jit.buy())
        jit.run(lambda: "opening_postponed" in jit.journal(), "the second waits")
    jit.run(lambda: bool(first.status() == SUCCEEDED), "the first is paid")
    jit.run(lambda: jit.order().last_failure_reason == "INSUFFICIENT_FUNDS", "its change is not deep")
    ChannelOrder.objects.update(open_deadline_at=timezone.now() - timedelta(seconds=1))
    jit.run(lambda: bool(second.status() == FAILED), "its payer has it back")
    assert second.failure == "TEMPORARY_CHANNEL_FAILURE"
