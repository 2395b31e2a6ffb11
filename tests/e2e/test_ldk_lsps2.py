"""A wallet of ldk-node without a channel is paid by LSPS2: by its own client, over LND as it is."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orders import queries
from orders.jit import ability
from orders.models import ChannelOrder, JitPart, JitPurchase, Service
from orders.models.order import Door
from orders.operations import snapshot
from orders.states import InvoiceState, OrderState
from orders.wallet import budget
from tests.clients.ldk import build
from tests.clients.ldk.bitcoin_core import BitcoinCore
from tests.clients.ldk.wallet import LdkWallet, Refused
from tests.e2e.shop import Shop
from tests.regtest.bitcoin import COIN_SAT
from tests.regtest.payment import FAILED, SUCCEEDED
from tests.regtest.waiting import NeverHappened, until
from tests.streams.conftest import Running, listening

SIZE_SAT = 200_000


@pytest.fixture
def lsp(shop: Shop, add_own: Callable[..., Any], settings: Any) -> Any:
    """Another node for the shop: it asks us about whatever it passes on."""
    node = add_own("--requireinterceptor", funded_sat=5_000_000, coins=4)
    settings.LND_GRPC = node.grpc_address
    settings.LND_TLS_CERT, settings.LND_MACAROON = str(node.tls_certificate), str(node.admin_macaroon)
    settings.LSPS2_ENABLED = settings.LSPS2_ON_OLD_LND = True
    shop.network.buyer.open_channel(node, 2_000_000)
    Service.objects.update(sells_jit=True)
    return node


@pytest.fixture
def wallet(shop: Shop, lsp: Any, ldk_wallet: LdkWallet) -> Iterator[LdkWallet]:
    """With coins for its reserve, and no channel. `ldk_wallet`: it is built, or there is no cargo."""
    with BitcoinCore(shop.network.chain) as core:
        one = LdkWallet(build.program(), shop.network.folder / "ldk-just-in-time", core.port, lsp=lsp.p2p_address)
        try:
            one.open()
            shop.network.chain.pay([(one.new_address(), COIN_SAT // 10)])
            shop.network.mine(1)
            until(lambda: one.spendable_sat() > 0, "the wallet has its coins")
            yield one
        finally:
            one.close()


@pytest.fixture
def streams(shop: Shop, lsp: Any) -> Iterator[Running]:
    """A streams process answers peers, and hears of what is passed on."""
    snapshot.refresh_snapshot(shop.node)
    with listening() as running:
        until(lambda: not ability.why_off(), f"it is sold: {ability.why_off()}", timeout=60)
        yield running
        del running
    gc.collect()  # the ended threads' connections to the database


def invoice(wallet: LdkWallet, amount_sat: int | None) -> str:
    """What it asks to be paid with."""
    return bought(lambda: wallet.receive(amount_sat))


def bought(ask: Callable[[], str]) -> str:
    """What it says in the end. It tells us only that there is none where an answer is not what it expects."""
    refusals: list[Refused] = []

    def made() -> str | None:
        try:
            return ask()
        except Refused as refusal:
            refusals.append(refusal)
            return None

    try:
        return str(until(made, "the wallet has bought", timeout=40))
    except NeverHappened as never:
        raise AssertionError(f"{never}: {refusals[-1]}") from None


def delivered(shop: Shop) -> ChannelOrder:
    def there() -> bool:
        shop.turn()
        newest = ChannelOrder.objects.filter(door=Door.LSPS2).order_by("created_at").last()
        return newest is not None and newest.state == OrderState.OPEN

    until(there, "the order is open", timeout=60)
    newest = ChannelOrder.objects.filter(door=Door.LSPS2).order_by("created_at").last()
    assert newest is not None
    return queries.order_or_raise(newest.pk)


def test_a_first_payment_is_received_over_a_channel_that_there_was_not_and_one_that_is_refused_leaves_none(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = shop.network.buyer.pay(invoice(wallet, SIZE_SAT))
    assert payment.wait() == SUCCEEDED
    order = delivered(shop)
    assert order.hold_invoice.state == InvoiceState.SETTLED
    [channel] = shop.node.channels_with(wallet.pubkey)
    assert channel.remote_balance_sat == SIZE_SAT - order.fee_total_sat
    causes = list(order.events.order_by("version").values_list("cause", flat=True))
    assert causes.index("payment_settled") < causes.index("funding_published")
    assert JitPart.objects.get().fee_msat == order.fee_total_sat * 1000
    assert any(event.startswith("PaymentReceived") for event in wallet.events())

    # ldk-node bounds the fee of a payment without an amount by its share alone, and ours has a floor: it takes none.
    refused = shop.network.buyer.pay(invoice(wallet, None), amt_msat=50_000_000)
    assert refused.wait() == FAILED

    def over() -> bool:
        shop.turn()
        newest = ChannelOrder.objects.filter(door=Door.LSPS2).order_by("created_at").last()
        return newest is not None and newest.pk != order.pk and newest.state == OrderState.REFUNDED

    until(over, "its order is over", timeout=60)
    [still] = shop.node.channels_with(wallet.pubkey)
    assert still.outpoint == channel.outpoint
    lost = ChannelOrder.objects.filter(door=Door.LSPS2).exclude(pk=order.pk).get()
    causes = list(lost.events.order_by("version").values_list("cause", flat=True))
    assert "parts_passed_on" in causes and "funding_published" not in causes

    # And it reckons that share of what it receives, from which the fee is gone: what it takes rounding hides.
    Service.objects.update(jit_rate_ppm=50)
    monkeypatch.setattr(budget, "of", lambda *_: 10_000)  # such a fee pays for no funding
    shop.network.buyer.forget_failures()
    asked = invoice(wallet, None)
    JitPurchase.objects.filter(pk=JitPurchase.objects.latest("pk").pk).update(min_fee_msat=0)
    assert shop.network.buyer.pay(asked, amt_msat=SIZE_SAT * 1000).wait() == SUCCEEDED
    variable = delivered(shop)
    assert variable.fee_total_sat == SIZE_SAT * 50 // 1_000_000
    both = shop.node.channels_with(wallet.pubkey)  # LND may have passed the second on over the first
    received_sat = sum(SIZE_SAT - each.fee_total_sat for each in (order, variable))
    assert len(both) == 2 and sum(each.remote_balance_sat for each in both) == received_sat
