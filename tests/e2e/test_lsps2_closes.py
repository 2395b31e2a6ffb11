"""A wallet of lnd is paid just in time where it is charged nothing; and what only real nodes do: leases that are taken
anew, channels that are closed early, by either side.

An lnd that is paid takes no less than it has asked for: so these wallets are charged nothing. Those of ldk-node, which
pay a fee, are in `test_ldk_lsps2.py`.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from lightning.types import Channel
from orders import marks
from orders.jit import ability
from orders.models import ChannelOpening, ChannelOrder, JitPart, JitPurchase, Service
from orders.operations import snapshot
from orders.payments.lightning import passing
from orders.states import InvoiceState, OrderState
from orders.wallet import budget, coins
from tests.e2e.shop import Shop
from tests.regtest.fixtures import adding_peers
from tests.regtest.network import Network
from tests.regtest.payment import IN_FLIGHT, SUCCEEDED
from tests.regtest.waiting import until
from tests.simulator.just_in_time import SIZE_SAT, JustInTime
from tests.streams.conftest import listening


@pytest.fixture(scope="module")
def lsp(real_network: Network) -> Iterator[Any]:
    """A node that asks us about whatever it passes on."""
    with adding_peers(real_network, "just-in-time") as add:
        node = add("--requireinterceptor", funded_sat=8_000_000, coins=8)
        real_network.buyer.open_channel(node, 2_000_000)
        yield node


@dataclass
class OnLnd(JustInTime):
    """`lsp` is the shop's node."""

    lsp: Any = None

    def ask(self, purchase: JitPurchase, amount_sat: int = SIZE_SAT, wallet: Any = None) -> str:
        """Charged nothing."""
        JitPurchase.objects.filter(pk=purchase.pk).update(min_fee_msat=0, proportional_ppm=0)
        blocks = purchase.cltv_expiry_delta
        return str((wallet or self.wallet).ask(self.lsp, amount_sat, scid=purchase.number, cltv_blocks=blocks))

    def is_held(self) -> bool:
        """The wallet holds a payment, in its new channel."""
        return any(channel.htlcs for channel in self.channels())

    def wallet_closes(self, channel: Channel, *, force: bool) -> None:
        """It has begun to: where nobody has the channel's funding, LND does not say that it has closed it."""
        point = str(channel.outpoint)

        def close() -> None:
            with suppress(grpc.RpcError):
                self.wallet.close_channel(point, force=force)

        threading.Thread(target=close, name="close", daemon=True).start()
        lists = [self.wallet.channels] if force else [self.channels, self.wallet.channels]
        until(lambda: not all(any(each.active for each in listed()) for listed in lists), "it has begun")


@pytest.fixture
def jit(
    shop: Shop, lsp: Any, add_own: Callable[..., Any], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OnLnd]:
    """With a wallet of its own: LND passes a payment on over whatever channel it has with the peer."""
    wallet = add_own()
    settings.LND_GRPC = lsp.grpc_address
    settings.LND_TLS_CERT, settings.LND_MACAROON = str(lsp.tls_certificate), str(lsp.admin_macaroon)
    settings.LSPS2_ENABLED = settings.LSPS2_ON_OLD_LND = True
    monkeypatch.setattr(budget, "of", lambda *_: 10_000)  # a fee of nothing pays for no funding
    wallet.connect(lsp)
    shop.network.buyer.forget_failures()
    Service.objects.update(sells_jit=True)
    snapshot.refresh_snapshot(shop.node)
    with listening(), wallet.accepting_zero_conf():
        until(lambda: not ability.why_off(), f"it is sold: {ability.why_off()}", timeout=60)
        yield OnLnd(shop, shop.network.buyer, wallet, lsp=lsp)
    gc.collect()  # the ended threads' connections to the database


def expiry(jit: OnLnd) -> dict[Any, Any]:
    return {lease.outpoint: lease.expires_at for lease in jit.shop.node.leases()}


def test_a_payment_that_is_held_for_longer_than_a_lease_is_received_and_its_channel_may_be_closed_at_once(
    jit: OnLnd, settings: Any
) -> None:
    settings.FUNDING_LEASE_SECONDS, settings.LSPS2_HOLD_SECONDS = 30, 2
    jit.payer.pay_part_over(jit.lsp, jit.ask(jit.buy()), SIZE_SAT * 500)  # and gives up before the rest is sent
    jit.run(lambda: JitPart.objects.filter(reason="TOO_LITTLE_IN_TIME").exists(), "it goes back")
    settings.LSPS2_HOLD_SECONDS = 90
    jit.payer.forget_failures()

    purchase = jit.buy()
    with jit.wallet.holding_payments():
        payment = jit.pay(purchase)
        jit.run(jit.is_held, "the wallet holds it", timeout=60)
        first = expiry(jit)
        jit.run(lambda: min(expiry(jit).values()) > max(first.values()), "the coins are leased anew")
        assert first and expiry(jit).keys() == first.keys()
        assert not jit.shop.network.chain.mempool() and jit.order().state == OrderState.URI_SET
    assert payment.wait() == SUCCEEDED
    jit.run(lambda: jit.order().state == OrderState.OPEN, "the order is open")
    [channel] = jit.channels()
    assert channel.remote_balance_sat == SIZE_SAT and not jit.order().standing
    assert jit.order().hold_invoice.state == InvoiceState.SETTLED

    parts = JitPart.objects.count()  # a payer may try more than once
    assert jit.pay(purchase, 20_000).wait() == SUCCEEDED  # over the channel, as any other
    assert ChannelOrder.objects.count() == 1 and JitPart.objects.count() == parts

    until(lambda: not any(each.pending_htlcs for each in jit.wallet.channels()), "the last payment is through")
    chain = jit.shop.network.chain
    before = set(chain.mempool())
    jit.wallet.close_channel(str(channel.outpoint))  # before its funding is in a block
    until(lambda: set(chain.mempool()) - before, "its closing transaction is there")
    jit.shop.network.mine(6)
    jit.run(lambda: jit.order().state == OrderState.CLOSED, "it is over", timeout=60)
    number = purchase.number
    jit.run(lambda: not any(number in names for names in jit.shop.node.aliases().values()), "its number is taken back")


@pytest.mark.long
def test_what_its_wallet_closes_before_anything_went_on_is_never_published(
    jit: OnLnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_on = passing.pass_on

    def closed_first(order_id: Any, channel: Channel, node: Any) -> bool:
        monkeypatch.setattr(passing, "pass_on", pass_on)
        jit.wallet_closes(channel, force=False)
        return True

    monkeypatch.setattr(passing, "pass_on", closed_first)
    payment = jit.pay(jit.buy())
    jit.run(lambda: ChannelOrder.objects.filter(state=OrderState.REFUNDED).exists(), "it is over", timeout=90)
    order = ChannelOrder.objects.get(state=OrderState.REFUNDED)
    assert order.hold_invoice.state == InvoiceState.CANCELLED
    assert not order.events.filter(cause__in=["parts_passed_on", "funding_published"]).exists()
    gone = order.openings.get().funding_outpoint
    assert gone not in {str(each.outpoint) for each in [*jit.channels(), *jit.shop.node.pending_channels()]}
    assert not coins.held(marks.lock_id(order.pk), jit.shop.node)
    assert payment.wait() == SUCCEEDED  # its payer has tried again


@pytest.mark.long
def test_what_its_wallet_closes_by_force_while_it_holds_the_payment_is_published_in_time_and_taken_in_the_chain(
    jit: OnLnd,
) -> None:
    """LND tells its peer nothing of a forced close that it cannot publish: our node waits until the part runs out."""
    with jit.wallet.holding_payments():
        payment = jit.pay(jit.buy())
        jit.run(jit.is_held, "the wallet holds it", timeout=60)
        [channel] = jit.channels()
        jit.wallet_closes(channel, force=True)
    ends = channel.htlcs[0].expiry_height
    jit.shop.network.mine(ends - 13 - jit.shop.node.info().block_height)
    jit.run(lambda: True)
    assert jit.order().state == OrderState.URI_SET and payment.status() == IN_FLIGHT
    jit.shop.network.mine(1)
    jit.run(lambda: "funding_published" in jit.journal(), "it is published", timeout=60)

    def mined() -> bool:
        jit.shop.network.mine(1)
        time.sleep(1)
        return payment.status() != IN_FLIGHT

    until(mined, "it has come to its end", timeout=120)
    assert payment.status() == SUCCEEDED
    jit.run(lambda: jit.order().hold_invoice.state == InvoiceState.SETTLED, "so it is recorded", timeout=60)


@pytest.mark.long
def test_a_part_whose_channel_is_closed_by_force_while_it_waits_opens_nothing(
    jit: OnLnd, add_own: Callable[..., Any]
) -> None:
    payer = add_own(funded_sat=1_000_000)
    point = payer.open_channel(jit.lsp, 500_000)
    asked = jit.ask(jit.buy())
    jit.wallet.kill()
    payment = payer.pay(asked)
    jit.run(lambda: jit.order().last_failure_reason == "PEER_NOT_REACHABLE", "it waits")
    payer.close_channel(point, force=True)

    def is_over() -> bool:
        jit.lsp.chain.mine(1)
        time.sleep(2)
        return jit.order().state == OrderState.REFUNDED

    jit.run(is_over, "it is over", timeout=60)
    assert (JitPart.objects.get().decision, JitPart.objects.get().reason) == ("fail", "CHANNEL_CLOSED")
    assert not ChannelOpening.objects.exists() and payment.status() == IN_FLIGHT  # his again when it has run out
    jit.wallet.start()
