"""A wallet of ldk-node holds its first payment: somebody dies meanwhile, and then it takes it, or gives it back."""

from __future__ import annotations

import gc
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest

from lightning.errors import LightningError
from orders import marks
from orders.models import ChannelOpening, ChannelOrder, JitPart, JitPurchase
from orders.models.order import Door
from orders.states import InvoiceState, OpeningState, OrderState
from orders.wallet import coins
from tests.clients.ldk.wallet import LdkWallet
from tests.e2e.shop import Shop
from tests.e2e.test_ldk_lsps2 import SIZE_SAT, bought, delivered, lsp, streams, wallet
from tests.e2e.test_ldk_lsps2_again import comes_back, kill, over
from tests.regtest.btcd import Refused
from tests.regtest.payment import FAILED, IN_FLIGHT, SUCCEEDED, Payment
from tests.regtest.waiting import until
from tests.streams.conftest import Running, listening

__all__ = ["lsp", "streams", "wallet"]

#: LDK writes down what it holds right after it has said so, and nobody hears when.
_WRITTEN_DOWN_SECONDS = 2
#: What closing by force costs a wallet at most: its commitment, who bumps that, and what takes the payment.
_CHAIN_SAT = 20_000


@dataclass(frozen=True)
class Held:
    """A first payment that a wallet holds: what its owner knows of it, and who pays."""

    payment: Payment
    preimage: str
    amount_msat: int

    @property
    def payment_hash(self) -> str:
        return hash_of(self.preimage)


def hash_of(preimage: str) -> str:
    return sha256(bytes.fromhex(preimage)).hexdigest()


def holds(shop: Shop, wallet: LdkWallet) -> Held:
    """The wallet holds it, less our fee, in a channel whose funding nobody has seen."""
    preimage = secrets.token_hex(32)
    payment = shop.network.buyer.pay(bought(lambda: wallet.receive_held(SIZE_SAT, hash_of(preimage))))
    amount_msat = until(lambda: claimable_msat(wallet, hash_of(preimage)), "the wallet holds it")
    assert amount_msat == (SIZE_SAT - ordered().fee_total_sat) * 1000 == JitPart.objects.get().passed_on_msat
    time.sleep(_WRITTEN_DOWN_SECONDS)
    held = Held(payment, preimage, int(amount_msat))
    assert is_waited_for(shop, held)
    return held


def claimable_msat(wallet: LdkWallet, payment_hash: str) -> int | None:
    """What it may take of the payment, by what has happened since somebody asked."""
    told = [each for each in wallet.events() if each.startswith("PaymentClaimable") and payment_hash in each]
    found = re.search(r"claimable_amount_msat: (\d+)", told[0]) if told else None
    return int(found[1]) if found else None


def ordered() -> ChannelOrder:
    return ChannelOrder.objects.get(door=Door.LSPS2)


def is_waited_for(shop: Shop, held: Held) -> bool:
    """Nobody has seen an end of the payment, and nothing is published."""
    order = ordered()
    states = (order.state, order.hold_invoice.state, order.openings.get().state, held.payment.status())
    waiting = (OrderState.URI_SET, InvoiceState.HELD, OpeningState.CARRYING, IN_FLIGHT)
    return states == waiting and not fundings(shop)


def fundings(shop: Shop) -> list[str]:
    """The ids of those that are in the chain, or wait for it."""
    promised = {each.funding_outpoint.partition(":")[0] for each in ChannelOpening.objects.all()} - {""}
    return [txid for txid in promised if is_published(shop, txid)]


def is_published(shop: Shop, txid: str) -> bool:
    try:
        return bool(shop.network.chain.transaction(txid))
    except Refused:
        return False


def paid_sat(shop: Shop, lsp: Any) -> int:
    """What its payer has paid, by the only channel that he has with our node."""
    [channel] = lsp.channels(shop.network.buyer)
    assert not channel.pending_htlcs
    return int(channel.local_balance)


def assert_received(shop: Shop, lsp: Any, wallet: LdkWallet, held: Held) -> None:
    """Paid once, credited less the fee that was promised, over one channel that is in the chain; so say the books."""
    assert held.payment.wait(120) == SUCCEEDED
    order = delivered(shop)
    assert order.pk == ordered().pk and order.hold_invoice.state == InvoiceState.SETTLED
    assert order.hold_invoice.held_sat == order.fee_total_sat == JitPart.objects.get().fee_msat // 1000
    [channel] = shop.node.channels_with(wallet.pubkey)
    assert channel.remote_balance_sat == SIZE_SAT - order.fee_total_sat == held.amount_msat // 1000
    assert JitPurchase.objects.get().number in channel.aliases
    assert fundings(shop) == [str(channel.outpoint).partition(":")[0]]
    until(lambda: wallet.payment(held.payment_hash) == "Succeeded", "the wallet knows")
    assert paid_sat(shop, lsp) == SIZE_SAT and not order.standing


def assert_given_back(shop: Shop, lsp: Any, wallet: LdkWallet, held: Held) -> None:
    """Paid by nobody, and nothing of ours is in it any more."""
    assert held.payment.wait(120) == FAILED
    until(lambda: over(shop, {OrderState.REFUNDED}), "its order is over", timeout=60)
    assert ordered().hold_invoice.state == InvoiceState.CANCELLED
    assert not shop.node.channels_with(wallet.pubkey) and not fundings(shop)
    assert not coins.held(marks.lock_id(ordered().pk), shop.node)
    assert paid_sat(shop, lsp) == 0


def test_what_it_holds_it_takes_when_it_is_told_to(shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running) -> None:
    held = holds(shop, wallet)
    wallet.claim(held.preimage, held.amount_msat)
    assert_received(shop, lsp, wallet, held)


@pytest.mark.long
def test_it_is_killed_while_it_holds_it_comes_back_and_takes_it(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running
) -> None:
    held = holds(shop, wallet)
    kill(shop, wallet)
    shop.turn()
    assert is_waited_for(shop, held)
    comes_back(lsp, wallet)
    wallet.claim(held.preimage, held.amount_msat)
    assert_received(shop, lsp, wallet, held)


@pytest.mark.long
def test_it_is_killed_while_it_holds_it_comes_back_and_gives_it_back(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running
) -> None:
    held = holds(shop, wallet)
    kill(shop, wallet)
    comes_back(lsp, wallet)
    assert is_waited_for(shop, held)
    wallet.fail(held.payment_hash)
    assert_given_back(shop, lsp, wallet, held)


@pytest.mark.long
def test_who_reads_our_stream_is_killed_while_it_holds_it(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running
) -> None:
    held = holds(shop, wallet)
    reader = streams.process._forwarding._line._apart._process  # type: ignore[union-attr]
    reader.kill()
    until(lambda: reader.poll() is not None, "it has died")
    wallet.claim(held.preimage, held.amount_msat)
    assert_received(shop, lsp, wallet, held)


@pytest.mark.long
def test_it_takes_it_while_nothing_of_ours_runs_and_it_is_published_once_something_does(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running
) -> None:
    held = holds(shop, wallet)
    streams.stop()
    wallet.claim(held.preimage, held.amount_msat)
    assert held.payment.wait() == SUCCEEDED
    assert not fundings(shop) and ordered().hold_invoice.state == InvoiceState.HELD
    with listening():
        assert_received(shop, lsp, wallet, held)
    gc.collect()  # the ended threads' connections to the database


@pytest.mark.long
@pytest.mark.parametrize("meanwhile", ["nothing", "it takes it", "it takes it, and is killed"])
def test_lnd_dies_while_it_holds_it_and_it_takes_it(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running, meanwhile: str
) -> None:
    held = holds(shop, wallet)
    lsp.kill()
    if meanwhile != "nothing":
        wallet.claim(held.preimage, held.amount_msat)
    if meanwhile.endswith("killed"):
        time.sleep(_WRITTEN_DOWN_SECONDS)
        wallet.kill()
    lsp_is_back(shop, lsp, wallet)
    if meanwhile == "nothing":
        assert is_waited_for(shop, held)
        wallet.claim(held.preimage, held.amount_msat)
    assert_received(shop, lsp, wallet, held)


def lsp_is_back(shop: Shop, lsp: Any, wallet: LdkWallet) -> None:
    """And so is the wallet; all are connected, we too."""
    lsp.start()
    until(lambda: answers(shop), "we are connected", timeout=20)
    shop.network.buyer.connect(lsp)
    if not wallet.is_running:
        wallet.open()
    wallet.connect(lsp)


def answers(shop: Shop) -> bool:
    """gRPC tries again at pauses of up to five seconds."""
    with suppress(LightningError):
        return bool(shop.node.info())
    return False


@pytest.mark.long
def test_it_is_killed_at_the_moment_when_it_takes_it_and_has_it_by_the_chain(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running
) -> None:
    """LDK writes a preimage into its channel's own record first. Killed before it has written the rest, it finds the
    two at odds when it starts, and closes the channel by force: our node, whose funding nobody has seen, publishes it.
    """
    held, before_sat = holds(shop, wallet), worth_sat(wallet)
    lsp.kill()  # it hears nothing of it
    wallet.claim(held.preimage, held.amount_msat)
    wallet.kill()
    lsp_is_back(shop, lsp, wallet)

    def is_settled() -> bool:
        shop.turn()
        shop.network.mine(1)
        time.sleep(1)
        return held.payment.status() != IN_FLIGHT and ordered().hold_invoice.state == InvoiceState.SETTLED

    until(is_settled, "it is taken", timeout=180)
    assert held.payment.status() == SUCCEEDED and len(fundings(shop)) == 1
    assert ordered().hold_invoice.held_sat == ordered().fee_total_sat
    assert wallet.payment(held.payment_hash) == "Succeeded" and paid_sat(shop, lsp) == SIZE_SAT
    until(lambda: worth_sat(wallet) > before_sat + held.amount_msat // 1000 - _CHAIN_SAT, "it has it")


def worth_sat(wallet: LdkWallet) -> int:
    """Its coins, and what is its own in its channels, also where they are being closed."""
    wallet.tell("sync")
    balance = wallet.tell("balance")
    return int(balance["onchain_sat"] + balance["channels_sat"])
