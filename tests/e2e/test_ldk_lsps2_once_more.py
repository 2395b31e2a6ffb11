"""LND asks anew about a part that went on, when it is started anew or the payer's node connects anew; and it keeps the
question where nobody is there to answer it. The wallet may have given the part back meanwhile: if it goes on then,
nobody pays for it but we.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import Any

import pytest
from django.utils import timezone

from orders.jit import gathering, saying
from orders.models import HoldInvoice, Service
from orders.states import InvoiceState
from tests.clients.ldk.wallet import LdkWallet
from tests.e2e.shop import Shop
from tests.e2e.test_ldk_lsps2 import SIZE_SAT, bought, lsp, streams, wallet
from tests.e2e.test_ldk_lsps2_held import claimable_msat, hash_of, lsp_is_back, paid_sat
from tests.regtest.payment import FAILED
from tests.regtest.waiting import NeverHappened, until
from tests.streams.conftest import Running, listening

__all__ = ["lsp", "streams", "wallet"]

pytestmark = pytest.mark.long

_LONG_ENOUGH_SECONDS = 20


def goes_on_once_more(shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running, *, by_lnd: bool) -> bool:
    """Whether the wallet is paid for a second time, once our stream is there again."""
    Service.objects.update(jit_client_trusts_lsp=False)  # the funding is published first, so the channel stays
    payment_hash = hash_of(secrets.token_hex(32))
    payment = shop.network.buyer.pay(bought(lambda: wallet.receive_held(SIZE_SAT, payment_hash)))
    until(lambda: claimable_msat(wallet, payment_hash), "the wallet holds it")
    time.sleep(2)
    streams.stop()
    if by_lnd:
        lsp.kill()
        lsp_is_back(shop, lsp, wallet)
    else:
        shop.network.buyer.disconnect(lsp)
        shop.network.buyer.connect(lsp)
        time.sleep(2)
    wallet.fail(payment_hash)
    assert payment.wait() == FAILED and paid_sat(shop, lsp) == 0  # its payer has it again
    until(lambda: is_over(shop), "that is recorded: the worker goes on", timeout=60)
    with listening():
        try:
            until(lambda: claimable_msat(wallet, payment_hash), "it is paid again", timeout=_LONG_ENOUGH_SECONDS)
        except NeverHappened:
            return False
    return True


def is_over(shop: Shop) -> bool:
    shop.turn()
    return HoldInvoice.objects.get(payment_request="").state == InvoiceState.CANCELLED


@pytest.mark.parametrize("by_lnd", [True, False], ids=["lnd is started", "the payer connects"])
def test_a_part_that_came_back_while_our_stream_was_away_does_not_go_on_once_more(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running, by_lnd: bool
) -> None:
    assert not goes_on_once_more(shop, lsp, wallet, streams, by_lnd=by_lnd)


def test_control_were_it_let_go_the_wallet_would_have_it(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saying, "first", lambda circuit: timezone.now())
    assert goes_on_once_more(shop, lsp, wallet, streams, by_lnd=False)


def is_answered_late(shop: Shop, lsp: Any, wallet: LdkWallet, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The payer connects anew and the wallet gives the part back, while our answer is on its way. As above."""
    Service.objects.update(jit_client_trusts_lsp=False)
    payment_hash = hash_of(secrets.token_hex(32))
    payment = shop.network.buyer.pay(bought(lambda: wallet.receive_held(SIZE_SAT, payment_hash)))
    until(lambda: claimable_msat(wallet, payment_hash), "the wallet holds it")
    time.sleep(3)
    hear, asked, came_back = gathering.hear, threading.Event(), threading.Event()

    def slowly(part: Any) -> Any:
        answer = hear(part)
        asked.set()
        came_back.wait(60)
        return answer

    monkeypatch.setattr(gathering, "hear", slowly)
    shop.network.buyer.disconnect(lsp)
    shop.network.buyer.connect(lsp)
    assert asked.wait(30), "LND asks once more"
    wallet.fail(payment_hash)
    assert payment.wait() == FAILED
    came_back.set()
    try:
        until(lambda: claimable_msat(wallet, payment_hash), "it is paid again", timeout=_LONG_ENOUGH_SECONDS)
    except NeverHappened:
        return False
    return True


def test_nor_does_one_that_comes_back_while_our_answer_is_on_its_way(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_answered_late(shop, lsp, wallet, monkeypatch)


def test_control_were_it_answered_it_would(
    shop: Shop, lsp: Any, wallet: LdkWallet, streams: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saying, "first", lambda circuit: timezone.now())
    assert is_answered_late(shop, lsp, wallet, monkeypatch)
