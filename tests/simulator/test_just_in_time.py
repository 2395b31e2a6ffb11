"""A first payment is received over a channel that did not exist when it was sent; and all that may come between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.types import NodeAddress
from orders import marks, queries
from orders.books import recounting
from orders.causes import FlagKind
from orders.errors import TooManyOrders
from orders.jit import exposure
from orders.models import Account, ChannelOpening, ChannelOrder, JitPart, PartDecision
from orders.openings import carrying, committing, funding, tracing
from orders.operations import snapshot
from orders.payments.lightning import passing
from orders.states import InvoiceState, OpeningState, OrderState
from orders.wallet import coins
from tests.contract.interceptor import intercepting
from tests.e2e.shop import Shop
from tests.regtest.payment import FAILED, IN_FLIGHT, SUCCEEDED
from tests.regtest.waiting import until
from tests.simulator.just_in_time import SIZE_SAT, JustInTime, sell
from tests.simulator.network import SimulatedNetwork


@pytest.fixture
def jit(shop: Shop, network: SimulatedNetwork, add_peer: Callable[..., Any], settings: Any) -> Iterator[JustInTime]:
    settings.LSPS2_ENABLED = True
    network.lsp.control.require_interceptor(True)
    payer, wallet = add_peer(), add_peer()
    wallet.change(accepts_zero_conf=True, takes_less=True)
    shop.node.connect(NodeAddress.parse(wallet.p2p_address), timeout_seconds=5)
    network.lsp.control.open_channel(payer.name, 2_000_000, by_us=False)
    network.mine(6)
    snapshot.refresh_snapshot(shop.node)
    sell()
    one = JustInTime(shop, payer, wallet)
    with one.listening():
        yield one
    network.lsp.control.require_interceptor(False)
    with intercepting(shop.node):
        pass  # what this one left is let go, and no other is asked about it
    network.mine(6)
    for lease in shop.node.leases():
        shop.node.release(lease.outpoint, lock_id=lease.lock_id)


def paid(jit: JustInTime, payment: Any) -> ChannelOrder:
    jit.run(lambda: bool(payment.status() == SUCCEEDED), "it is paid")
    jit.run(lambda: jit.order().state == OrderState.OPEN, "the order is open")
    return jit.order()


def gone_back(jit: JustInTime, payment: Any) -> ChannelOrder:
    """The payer has his money, and nothing is left of the attempt."""
    jit.run(lambda: jit.order().state == OrderState.REFUNDED, "it is over")
    until(lambda: payment.status() == FAILED, "the payer has it back")
    order = jit.order()
    assert order.hold_invoice.state == InvoiceState.CANCELLED
    assert all(opening.state == OpeningState.FAILED for opening in order.openings.all())
    assert not jit.channels() and not jit.shop.network.chain.mempool()
    assert not coins.held(marks.lock_id(order.pk), jit.shop.node)  # the node is not ours alone
    assert not jit.lost_msat()
    return order


def fee_sat(jit: JustInTime) -> int:
    """Of the newest order, as its buyer was promised."""
    part = jit.order().jit_parts.select_related("purchase").first()
    assert part is not None
    return int(part.purchase.min_fee_msat) // 1000


class TestTaken:
    def test_the_funding_is_published_once_the_payment_was_taken(self, jit: JustInTime) -> None:
        order = paid(jit, jit.pay(jit.buy()))
        assert order.hold_invoice.state == InvoiceState.SETTLED
        [channel] = jit.channels()
        assert channel.remote_balance_sat == SIZE_SAT - fee_sat(jit)
        assert order.fee_total_sat == fee_sat(jit)
        causes = jit.journal()
        wanted = ["opening_carrying", "parts_passed_on", "payment_settled", "funding_signed", "funding_published"]
        assert [cause for cause in causes if cause in wanted] == wanted

    def test_while_lnd_has_it_pending_for_a_moment_it_is_neither_published_nor_left(
        self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen, look = [], tracing.open_channel

        def late(opening: Any, node: Any) -> Any:
            if opening.state == OpeningState.CARRYING and len(seen) < 3:
                seen.append(opening)
                return None if len(seen) % 2 else look(opening, node)
            return look(opening, node)

        monkeypatch.setattr(tracing, "open_channel", late)
        paid(jit, jit.pay(jit.buy()))
        causes = jit.journal()
        assert len(seen) == 3 and causes.index("payment_settled") < causes.index("funding_signed")
        assert "opening_cancelling" not in causes

    def test_where_we_trust_the_wallet_it_is_published_before_that(self, jit: JustInTime) -> None:
        sell(jit_client_trusts_lsp=False)
        order = paid(jit, jit.pay(jit.buy()))
        jit.run(lambda: jit.order().hold_invoice.state == InvoiceState.SETTLED, "the fee is ours")
        causes = [event.cause for event in order.events.order_by("version")] + jit.journal()
        wanted = ["opening_committed", "funding_signed", "funding_published", "parts_passed_on", "payment_settled"]
        assert [cause for cause in jit.journal() if cause in wanted] == wanted and causes
        assert jit.channels()[0].remote_balance_sat == SIZE_SAT - fee_sat(jit)

    def test_l2_13_25_of_a_payment_in_parts_the_first_bears_the_fee(self, jit: JustInTime) -> None:
        payment = jit.pay(jit.buy(), max_parts=4)
        paid(jit, payment)
        fees = list(JitPart.objects.order_by("pk").values_list("fee_msat", flat=True))
        assert len(fees) == 4 and fees == [fee_sat(jit) * 1000, 0, 0, 0]
        assert jit.channels()[0].remote_balance_sat == SIZE_SAT - fee_sat(jit)

    def test_l2_19_without_a_size_the_payment_says_it(self, jit: JustInTime) -> None:
        paid(jit, jit.pay(jit.buy(None), 50_000))
        assert jit.channels()[0].remote_balance_sat == 50_000 - fee_sat(jit)

    def test_l2_28_the_next_payment_over_the_same_number_is_like_any_other(self, jit: JustInTime) -> None:
        purchase = jit.buy()
        paid(jit, jit.pay(purchase))
        before = jit.channels()[0].remote_balance_sat
        payment = jit.pay(purchase, 50_000)
        assert payment.wait() == SUCCEEDED
        assert jit.channels()[0].remote_balance_sat == before + 50_000
        assert ChannelOrder.objects.count() == 1 and JitPart.objects.count() == 1

    def test_two_at_once_for_one_wallet_are_both_received(self, jit: JustInTime) -> None:
        payments = [jit.pay(jit.buy()) for _ in range(2)]
        jit.run(lambda: all(payment.status() == SUCCEEDED for payment in payments), "both are paid")
        assert len(jit.channels()) == 2

    def test_l2_21_its_channel_is_private_and_asks_for_no_fee(self, jit: JustInTime) -> None:
        paid(jit, jit.pay(jit.buy()))
        [channel] = jit.channels()
        assert channel.private and channel.zero_conf
        assert jit.order().jit_parts.get().purchase.number in channel.aliases
        assert jit.shop.network.lsp.control.policy(str(channel.outpoint)).base_msat == 0


class TestCoins:
    """Of a payment that stays under way for longer than a lease."""

    @pytest.fixture
    def carried(self, jit: JustInTime, settings: Any) -> Iterator[ChannelOpening]:
        """The wallet holds it until the test is over."""
        with jit.wallet.holding_payments():
            self.payment = jit.pay(jit.buy())
            jit.run(lambda: bool(jit.channels() and jit.channels()[0].htlcs), "the wallet holds it")
            yield ChannelOpening.objects.get()

    def lease_runs_out(self, jit: JustInTime, settings: Any) -> None:
        seconds = settings.FUNDING_LEASE_SECONDS + 60
        jit.shop.network.lsp.control.pass_time(seconds)
        ChannelOpening.objects.update(changed_at=timezone.now() - timedelta(seconds=seconds))
        assert not jit.shop.node.leases()

    def test_they_are_leased_anew(self, jit: JustInTime, settings: Any, carried: ChannelOpening) -> None:
        self.lease_runs_out(jit, settings)
        jit.run(lambda: bool(jit.shop.node.leases()), "they are ours again")
        assert carried.transaction is not None
        assert {lease.outpoint for lease in jit.shop.node.leases()} == set(carried.transaction.spends)
        jit.wallet.change(takes="settles")
        assert not paid(jit, self.payment).standing

    def test_where_another_has_one_a_person_is_told_and_what_is_taken_is_published_all_the_same(
        self, jit: JustInTime, settings: Any, carried: ChannelOpening
    ) -> None:
        self.lease_runs_out(jit, settings)
        assert carried.transaction is not None
        jit.shop.node.lease(carried.transaction.spends[0], lock_id=b"\x07" * 32, seconds=60)
        jit.run(lambda: bool(jit.order().standing), "staff see it")
        assert [flag.kind for flag in jit.order().standing] == [FlagKind.ZERO_CONF_UNFUNDED]
        jit.wallet.change(takes="settles")
        assert not paid(jit, self.payment).standing  # it was the first in the mempool

    def test_and_nothing_goes_on_over_a_channel_whose_coins_another_has(
        self, jit: JustInTime, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verify = committing.verify

        def lost(opening: Any, *rest: Any) -> None:
            verify(opening, *rest)
            monkeypatch.setattr(committing, "verify", verify)
            self.lease_runs_out(jit, settings)
            jit.shop.node.lease(opening.transaction.spends[0], lock_id=b"\x07" * 32, seconds=600)

        monkeypatch.setattr(committing, "verify", lost)
        jit.pay(jit.buy())
        jit.run(lambda: ChannelOpening.objects.filter(state=OpeningState.FAILED).exists(), "the attempt is over")
        failed = ChannelOpening.objects.get(state=OpeningState.FAILED)
        assert failed.failure_reason == "LSP_BUSY"
        causes = [event.cause for event in jit.order().events.order_by("version")]
        assert "parts_passed_on" not in causes[: causes.index("opening_failed")]
        assert not jit.shop.network.chain.mempool()

    @pytest.mark.parametrize("by", ["places", "coins"])
    def test_as_many_payments_as_may_be_under_way_keep_no_place_that_others_need(
        self,
        jit: JustInTime,
        settings: Any,
        carried: ChannelOpening,
        add_peer: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
        by: str,
    ) -> None:
        settings.PARALLEL_OPENINGS = 4 if by == "places" else 32
        monkeypatch.setattr(funding, "_MOST_CARRIED_PERCENT", 0 if by == "coins" else 100)
        another = add_peer()
        another.change(accepts_zero_conf=True, takes_less=True)
        jit.shop.node.connect(NodeAddress.parse(another.p2p_address), timeout_seconds=5)
        jit.payer.pay(jit.ask(jit.buy(wallet=another), wallet=another))
        jit.run(lambda: jit.order().last_failure_reason == "LSP_BUSY", "the second waits")
        assert ChannelOpening.objects.count() == 1 and queries.carrying(timezone.now()) == 1
        assert queries.openings_under_way(timezone.now()) == (0, 0)

    @pytest.mark.parametrize("percent", [0, 100])
    def test_nor_where_both_had_looked_before_either_had_its_coins(
        self,
        jit: JustInTime,
        carried: ChannelOpening,
        add_peer: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
        percent: int,
    ) -> None:
        monkeypatch.setattr(funding, "_MOST_CARRIED_PERCENT", percent)
        monkeypatch.setattr(funding, "obstacle", lambda *_: None)
        another = add_peer()
        another.change(accepts_zero_conf=True, takes_less=True)
        jit.shop.node.connect(NodeAddress.parse(another.p2p_address), timeout_seconds=5)
        jit.payer.pay(jit.ask(jit.buy(wallet=another), wallet=another))
        jit.run(lambda: ChannelOpening.objects.filter(node_pubkey=another.pubkey).exists(), "it begins")
        second = ChannelOpening.objects.filter(node_pubkey=another.pubkey).earliest("pk")
        assert carried.transaction is not None
        leased = {lease.outpoint for lease in jit.shop.node.leases()}
        if percent:
            assert second.transaction is not None and leased > set(carried.transaction.spends)
        else:
            assert (second.state, second.failure_reason) == (OpeningState.FAILED, "LSP_BUSY")
            assert leased == set(carried.transaction.spends)


class TestClosed:
    """The wallet closes its new channel before its payment has gone on."""

    def closing(self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch, *, force: bool) -> None:
        """Whoever lets it go on finds it so."""
        pass_on = passing.pass_on

        def late(order_id: Any, channel: Any, node: Any) -> bool:
            monkeypatch.setattr(passing, "pass_on", pass_on)
            jit.wallet.close_channel(str(channel.outpoint), force=force)
            return True

        monkeypatch.setattr(passing, "pass_on", late)

    @pytest.mark.parametrize("force", [False, True])
    def test_what_is_empty_is_never_published(
        self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch, force: bool
    ) -> None:
        self.closing(jit, monkeypatch, force=force)
        order = gone_back(jit, jit.pay(jit.buy()))
        assert "funding_published" not in jit.journal() and order.standing == []
        jit.buy()  # no payment had gone on

    def test_where_we_trusted_the_wallet_its_payer_has_the_money_back_and_nobody_looks_for_ever(
        self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sell(jit_client_trusts_lsp=False)
        self.closing(jit, monkeypatch, force=False)
        payment = jit.pay(jit.buy())
        jit.run(lambda: jit.order().hold_invoice.state == InvoiceState.CANCELLED, "it is known")
        until(lambda: payment.status() == FAILED, "the payer has it back")
        order = jit.order()
        assert {flag.kind for flag in order.standing} == {FlagKind.UNPAID_CHANNEL, FlagKind.CLOSED_UNUSED}
        assert order.due_at is None or order.due_at > timezone.now() + timedelta(seconds=30)

    def test_so_he_has_where_the_wallet_stays_away_for_longer_than_his_time(
        self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sell(jit_client_trusts_lsp=False)
        monkeypatch.setattr(passing, "pass_on", lambda *_: jit.wallet.kill() or True)
        payment = jit.pay(jit.buy())
        jit.run(lambda: jit.order().state == OrderState.OPENING, "it is published")
        ChannelOrder.objects.update(open_deadline_at=timezone.now() - timedelta(seconds=1))
        jit.run(lambda: jit.order().hold_invoice.state == InvoiceState.CANCELLED, "it is known")
        until(lambda: payment.status() == FAILED, "the payer has it back")
        assert payment.failure == "TEMPORARY_CHANNEL_FAILURE"

    def test_what_runs_out_too_soon_does_not_go_on(self, jit: JustInTime, monkeypatch: pytest.MonkeyPatch) -> None:
        begin = carrying._begin

        def late(*given: Any) -> Any:
            monkeypatch.setattr(carrying, "_begin", begin)
            part = JitPart.objects.get()
            jit.shop.network.mine(part.outgoing_expiry - 11 - jit.shop.node.info().block_height)
            return begin(*given)

        monkeypatch.setattr(carrying, "_begin", late)
        gone_back(jit, jit.pay(jit.buy()))
        assert "parts_passed_on" not in jit.journal()


class TestNotTaken:
    def test_l2_24_what_the_wallet_does_not_take_goes_back_and_its_channel_is_never_published(
        self, jit: JustInTime
    ) -> None:
        jit.wallet.change(takes="fails")
        purchase = jit.buy()
        order = gone_back(jit, jit.pay(purchase))
        assert "funding_published" not in jit.journal() and order.standing == []
        assert jit.pay(purchase).wait() == FAILED  # the next for this number has to wait
        assert ChannelOrder.objects.count() == 1 and jit.buy()

    def test_l2_22_a_wallet_that_takes_no_channel_costs_the_payer_nothing(self, jit: JustInTime) -> None:
        with jit.wallet.refusing_channels("channel size is below the least"):
            payment = jit.pay(jit.buy())
            gone_back(jit, payment)
        assert payment.failure == "UNKNOWN_NEXT_PEER" or JitPart.objects.get().decision == PartDecision.FAIL
        assert not JitPart.objects.filter(decision=PartDecision.RESUME).exists()
        jit.buy()  # nothing was opened for it

    def test_a_wallet_without_zero_conf_channels_gets_no_other(self, jit: JustInTime) -> None:
        jit.wallet.change(accepts_zero_conf=False)
        gone_back(jit, jit.pay(jit.buy()))
        assert not any(not opening.zero_conf for opening in jit.order().openings.all())

    def test_l2_18_a_wallet_that_is_away_is_waited_for(self, jit: JustInTime) -> None:
        purchase = jit.buy()
        jit.wallet.kill()
        payment = jit.pay(purchase)
        jit.run(lambda: jit.order().last_failure_reason == "PEER_NOT_REACHABLE", "it waits")
        jit.wallet.start()
        jit.shop.node.connect(NodeAddress.parse(jit.wallet.p2p_address), timeout_seconds=5)
        paid(jit, payment)

    def test_l2_18_and_not_for_longer_than_that(self, jit: JustInTime, settings: Any) -> None:
        purchase = jit.buy()
        jit.wallet.kill()
        payment = jit.pay(purchase)
        jit.run(lambda: jit.order().last_failure_reason == "PEER_NOT_REACHABLE", "it waits")
        ChannelOrder.objects.update(open_deadline_at=timezone.now() - timedelta(seconds=1))
        gone_back(jit, payment)
        assert payment.failure == "TEMPORARY_CHANNEL_FAILURE"

    def test_who_takes_the_part_that_bears_the_fee_alone_has_paid_for_his_channel(self, jit: JustInTime) -> None:
        jit.wallet.change(takes="settles_a_part")
        jit.pay(jit.buy(), max_parts=4)
        jit.run(lambda: jit.order().state == OrderState.OPEN, "what it took is funded at once")
        assert jit.order().hold_invoice.state == InvoiceState.HELD
        [channel] = jit.channels()
        assert channel.remote_balance_sat > 0 and len(channel.htlcs) == 3
        jit.shop.network.mine(channel.htlcs[0].expiry_height + 1 - jit.shop.node.info().block_height)
        jit.run(lambda: jit.order().hold_invoice.state == InvoiceState.SETTLED, "the rest has run out")
        assert jit.order().hold_invoice.held_sat == fee_sat(jit)
        assert FlagKind.UNPAID_CHANNEL not in [flag.kind for flag in jit.order().standing]

    def test_who_takes_the_part_that_bears_no_fee_is_not_taken_for_somebody_who_has_paid(self, jit: JustInTime) -> None:
        jit.wallet.change(takes="settles_the_last")
        jit.pay(jit.buy(), max_parts=4)
        jit.run(lambda: jit.order().state == OrderState.OPEN, "what it took is funded")
        order = jit.order()
        assert (order.hold_invoice.state, order.hold_invoice.held_sat) == (InvoiceState.SETTLED, 0)
        assert [flag.kind for flag in order.standing] == [FlagKind.UNPAID_CHANNEL]
        assert recounting.balances()[Account.FEES_EARNED] == 0
        assert recounting.differences() == ([], 0) and not recounting.uncovered()
        assert exposure._risked_sat() == order.lsp_balance_sat
        with pytest.raises(TooManyOrders):
            jit.buy()

    def test_what_the_wallet_holds_is_waited_for_and_taken_later(self, jit: JustInTime) -> None:
        with jit.wallet.holding_payments():
            payment = jit.pay(jit.buy())
            jit.run(lambda: bool(jit.channels() and jit.channels()[0].htlcs), "the wallet holds it")
            jit.run(lambda: True)
            assert payment.status() == IN_FLIGHT and jit.order().state == OrderState.URI_SET
            assert not jit.shop.network.chain.mempool()
        paid(jit, payment)

    def test_what_the_wallet_holds_until_it_runs_out_is_published_before_the_payers_channel_has_to_be_closed(
        self, jit: JustInTime
    ) -> None:
        with jit.wallet.holding_payments():
            jit.pay(jit.buy())
            jit.run(lambda: bool(jit.channels() and jit.channels()[0].htlcs), "the wallet holds it")
            ends = jit.channels()[0].htlcs[0].expiry_height
            jit.shop.network.mine(ends - 13 - jit.shop.node.info().block_height)
            jit.run(lambda: True)
            assert jit.order().live_opening.state == OpeningState.CARRYING  # type: ignore[union-attr]
            jit.shop.network.mine(1)
            jit.run(lambda: "funding_published" in jit.journal(), "it is published")
            assert jit.order().hold_invoice.state == InvoiceState.HELD
