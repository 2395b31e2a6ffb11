"""What else may come between a wallet of ldk-node and its first payment, over LND as it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import ModuleType
from typing import Any, Final

import pytest
from django.utils import timezone

from lightning.errors import NodeUnavailable
from orders import marks
from orders.models import ChannelOrder, HoldInvoice, JitPart, JitPurchase, PartDecision, Service
from orders.models.order import Door
from orders.openings import carrying, committing, opening, publishing
from orders.payments.lightning import passing
from orders.states import InvoiceState, OpeningState, OrderState
from orders.wallet import coins
from tests.clients.ldk.wallet import LdkWallet
from tests.e2e.shop import Shop
from tests.e2e.test_ldk_lsps2 import SIZE_SAT, delivered, invoice, lsp, streams, wallet
from tests.regtest.payment import FAILED, SUCCEEDED
from tests.regtest.waiting import until
from tests.streams.conftest import Running

__all__ = ["lsp", "streams", "wallet"]


#: Each of the opening's, and whose it is.
_STEPS: Final[dict[str, ModuleType]] = {
    "attempt": opening, "promise": committing, "verify": committing, "keep": committing, "publish": publishing,
}  # fmt: skip


def over(shop: Shop, states: set[OrderState], count: int = 1) -> bool:
    """So many orders have come to that, and no other is there."""
    shop.turn()
    orders = ChannelOrder.objects.filter(door=Door.LSPS2)
    return orders.count() == count == orders.filter(state__in=states).count()


@pytest.mark.long
def test_a_stranger_who_pays_for_its_number_leaves_it_to_the_wallet(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running, add_own: Callable[..., Any]
) -> None:
    asked = invoice(wallet, SIZE_SAT)
    purchase = JitPurchase.objects.get()
    stranger = add_own().ask(lsp, SIZE_SAT, scid=purchase.number, cltv_blocks=purchase.cltv_expiry_delta)
    assert shop.network.buyer.pay(stranger).wait() == FAILED
    until(lambda: over(shop, {OrderState.REFUNDED}), "its order is over", timeout=60)
    assert JitPart.objects.filter(decision=PartDecision.RESUME).exists()
    assert not shop.node.channels_with(wallet.pubkey)
    assert not any(purchase.number in names for names in shop.node.aliases().values())

    HoldInvoice.objects.update(cancelled_at=timezone.now() - timedelta(minutes=3))
    shop.network.buyer.forget_failures()
    assert shop.network.buyer.pay(asked).wait() == SUCCEEDED
    order = delivered(shop)
    assert order.hold_invoice.state == InvoiceState.SETTLED
    [channel] = shop.node.channels_with(wallet.pubkey)
    assert purchase.number in channel.aliases
    assert channel.remote_balance_sat == SIZE_SAT - order.fee_total_sat


def test_a_payment_in_parts_by_two_channels_and_two_payments_at_once(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running, add_own: Callable[..., Any]
) -> None:
    # What the service leaves to itself is enough: the channel has room for what LND keeps of it.
    Service.objects.update(jit_size_percent=100, jit_cushion_sat=0, min_channel_sat=20_000)
    payer = add_own(funded_sat=1_000_000, coins=2)
    for _ in range(2):
        payer.open_channel(lsp, SIZE_SAT * 3 // 4)
    assert payer.pay(invoice(wallet, SIZE_SAT), max_parts=8).wait() == SUCCEEDED
    order = delivered(shop)
    assert order.lsp_balance_sat < SIZE_SAT * 11 // 10
    parts = list(order.jit_parts.order_by("pk"))
    assert len({part.chan_id for part in parts}) == 2
    assert sum(part.fee_msat for part in parts) == order.fee_total_sat * 1000
    assert sum(part.passed_on_msat for part in parts) == (SIZE_SAT - order.fee_total_sat) * 1000

    payments = [shop.network.buyer.pay(invoice(wallet, SIZE_SAT)) for _ in range(2)]
    assert [payment.wait(120) for payment in payments] == [SUCCEEDED] * 2
    until(lambda: over(shop, {OrderState.OPEN}, count=3), "all are open", timeout=60)
    assert len(shop.node.channels_with(wallet.pubkey)) == 3


def test_lnd_dies_before_the_payment_goes_on_over_its_new_channel(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_on, died = passing.pass_on, []

    def killed(*given: Any) -> bool:
        monkeypatch.setattr(passing, "pass_on", pass_on)
        lsp.kill()
        lsp.start()
        died.append(given)
        raise NodeUnavailable("it was killed")

    monkeypatch.setattr(passing, "pass_on", killed)
    payment = shop.network.buyer.pay(invoice(wallet, SIZE_SAT))
    until(lambda: bool(died), "lnd has died", timeout=60)
    shop.network.buyer.connect(lsp)
    wallet.connect(lsp)
    assert payment.wait(120) == SUCCEEDED
    order = delivered(shop)
    [channel] = shop.node.channels_with(wallet.pubkey)
    assert channel.remote_balance_sat == SIZE_SAT - order.fee_total_sat
    assert order.openings.exclude(state=OpeningState.FAILED).count() == 1 and JitPart.objects.count() == 1


@pytest.mark.long
def test_lnd_dies_after_it_went_on_and_whatever_becomes_of_it_the_number_stays_the_wallets(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LND asks again once its payer is there; where the wallet is not yet, it gives the part back."""
    pass_on, died = passing.pass_on, []

    def killed(*given: Any) -> bool:
        monkeypatch.setattr(passing, "pass_on", pass_on)
        pass_on(*given)
        lsp.kill()
        lsp.start()
        died.append(given)
        raise NodeUnavailable("it was killed")

    monkeypatch.setattr(passing, "pass_on", killed)
    asked = invoice(wallet, SIZE_SAT)
    payment = shop.network.buyer.pay(asked)
    until(lambda: bool(died), "lnd has died", timeout=60)
    shop.network.buyer.connect(lsp)
    wallet.connect(lsp)
    is_paid_in_the_end(shop, wallet, asked, payment)


def is_paid_in_the_end(shop: Shop, wallet: LdkWallet, asked: str, payment: Any) -> None:
    """At once, or when its payer tries again: once, and over a channel that is called as what the wallet bought."""
    if payment.wait(120) == FAILED:
        until(lambda: over(shop, {OrderState.REFUNDED}), "its order is over", timeout=60)
        assert not shop.node.channels_with(wallet.pubkey)
        HoldInvoice.objects.update(cancelled_at=timezone.now() - timedelta(minutes=3))
        shop.network.buyer.forget_failures()
        # Our node has left the wallet to abandon its channel, and ldk-node looks for it once a minute.
        assert shop.network.buyer.pay(asked).wait(120) == SUCCEEDED
    order = delivered(shop)
    [channel] = shop.node.channels_with(wallet.pubkey)
    assert channel.remote_balance_sat == SIZE_SAT - order.fee_total_sat
    assert JitPurchase.objects.get().number in channel.aliases


@pytest.mark.long
@pytest.mark.parametrize("who", ["lnd", "our stream"])
@pytest.mark.parametrize("step", _STEPS)
def test_who_dies_before_a_step_of_the_opening_costs_the_wallet_nothing(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running, monkeypatch: pytest.MonkeyPatch,
    step: str, who: str,
) -> None:  # fmt: skip
    room, died = _STEPS[step], []
    begin = getattr(room, step)

    def killed(*given: Any) -> Any:
        monkeypatch.setattr(room, step, begin)
        if who == "lnd":
            lsp.kill()
            lsp.start()
        else:
            streams.process._forwarding._line._apart._process.kill()  # type: ignore[union-attr]
        died.append(step)
        return begin(*given)

    monkeypatch.setattr(room, step, killed)
    asked = invoice(wallet, SIZE_SAT)
    payment = shop.network.buyer.pay(asked)
    until(lambda: bool(died), "it has died", timeout=60)
    if who == "lnd":
        shop.network.buyer.connect(lsp)
        wallet.connect(lsp)
    is_paid_in_the_end(shop, wallet, asked, payment)


#: When the wallet is killed: before a step, after it, or in its place, which then comes later, also where it is back by
#: then; and whether its first payment arrives all the same.
_MOMENTS: Final[dict[str, tuple[ModuleType, str, str, bool]]] = {
    "before its channel is opened": (opening, "attempt", "before", True),
    "when its channel has just come to be": (committing, "verify", "after", True),
    "before its payment goes on": (passing, "pass_on", "in place", True),
    "before its payment goes on, and back before we look": (passing, "pass_on", "in place, and back", True),
    "after it went on": (passing, "pass_on", "after", False),
}


def kill(shop: Shop, wallet: LdkWallet) -> None:
    """It is gone, and our node knows."""
    pubkey = wallet.pubkey
    wallet.kill()
    until(lambda: pubkey not in {peer.pubkey for peer in shop.node.peers()}, "our node knows")


def comes_back(lsp: Any, wallet: LdkWallet) -> None:
    wallet.open()
    wallet.connect(lsp)


def kills(
    shop: Shop, lsp: Any, wallet: LdkWallet, monkeypatch: pytest.MonkeyPatch, room: ModuleType, step: str, when: str
) -> list[str]:
    """Once; says whether it was."""
    go_on, died = getattr(room, step), []

    def killed(*given: Any) -> Any:
        monkeypatch.setattr(room, step, go_on)
        done = go_on(*given) if when == "after" else True
        kill(shop, wallet)
        if when.endswith("and back"):
            comes_back(lsp, wallet)
        died.append(step)
        return go_on(*given) if when == "before" else done

    monkeypatch.setattr(room, step, killed)
    return died


@pytest.mark.long
@pytest.mark.parametrize("moment", _MOMENTS)
def test_a_wallet_that_is_killed_in_the_middle_and_comes_back_is_paid_once_and_nobody_loses_anything(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    *where, arrives = _MOMENTS[moment]
    died = kills(shop, lsp, wallet, monkeypatch, *where)
    asked = invoice(wallet, SIZE_SAT)
    payment = shop.network.buyer.pay(asked)
    until(lambda: bool(died), "the wallet has died", timeout=60)
    if not wallet.is_running:
        comes_back(lsp, wallet)
    assert not arrives or payment.wait(120) == SUCCEEDED
    is_paid_in_the_end(shop, wallet, asked, payment)
    for lost in ChannelOrder.objects.filter(state=OrderState.REFUNDED):
        assert not coins.held(marks.lock_id(lost.pk), shop.node)


@pytest.mark.long
def test_control_over_the_channel_that_it_had_before_it_fails_what_is_less_than_was_sent(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "_has_stayed", lambda *_: True)
    died = kills(shop, lsp, wallet, monkeypatch, passing, "pass_on", "in place")
    asked = invoice(wallet, SIZE_SAT)
    payment = shop.network.buyer.pay(asked)
    until(lambda: bool(died), "the wallet has died", timeout=60)
    comes_back(lsp, wallet)
    assert payment.wait(120) == FAILED
    assert "Upstream node sent less than we were supposed to receive" in wallet.node_log()
    is_paid_in_the_end(shop, wallet, asked, payment)
