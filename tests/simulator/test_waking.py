"""A wallet that is away is told that a payment waits for it, comes, and is paid."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from orders.models import WakeUp, WakeUpMethod
from orders.waking import posting, registering, sending
from streams import hints
from tests.e2e.shop import Shop
from tests.recovering import signer
from tests.simulator.just_in_time import JustInTime
from tests.simulator.network import SimulatedNetwork
from tests.simulator.test_just_in_time import jit, paid
from tests.simulator.test_just_in_time_anew import comes_back, goes_before_it_goes_on

__all__ = ["jit"]

URL = "https://push.example.org/a"


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[tuple[bytes, dict[str, str]]]:
    """What the wallet's service hears."""
    settings.LSPS5_ENABLED = True
    found: list[tuple[bytes, dict[str, str]]] = []
    monkeypatch.setattr(posting, "post", lambda url, body, headers: found.append((body, dict(headers))))
    return found


def send_all(shop: Shop) -> None:
    for taken in sending.take(10):
        sending.send(taken.pk, shop.node)


def test_l5_17_the_signature_is_the_nodes_as_a_wallet_finds_out(
    shop: Shop, network: SimulatedNetwork, heard: list[tuple[bytes, dict[str, str]]]
) -> None:
    registering.register("02" * 33, "wallet", URL)
    send_all(shop)
    [(body, headers)] = heard
    words = "LSPS5: DO NOT SIGN THIS MESSAGE MANUALLY: LSP: At %s I notify %s"
    said = (words % (headers["x-lsps5-timestamp"], body.decode())).encode()
    ours = shop.node.info().pubkey
    assert signer(said, headers["x-lsps5-signature"]) == ours
    assert signer(said + b" ", headers["x-lsps5-signature"]) != ours


def test_l5_12_a_wallet_that_is_away_is_told_of_its_first_payment_comes_and_is_paid(
    jit: JustInTime, heard: list[tuple[bytes, dict[str, str]]]
) -> None:
    registering.register(jit.wallet.pubkey, "wallet", URL)
    send_all(jit.shop)
    purchase = jit.buy()
    jit.wallet.kill()
    payment = jit.pay(purchase, max_parts=4)
    jit.run(lambda: jit.order().last_failure_reason == "PEER_NOT_REACHABLE", "it waits")
    send_all(jit.shop)
    assert [b"payment_incoming" in body for body, _ in heard] == [False, True], "once for all parts"
    comes_back(jit)
    hints.peer_came(jit.wallet.pubkey)
    paid(jit, payment)
    assert not WakeUp.objects.filter(method=WakeUpMethod.PAYMENT, came_at=None).exists()
    assert sending.take(10, timezone.now() + timedelta(hours=1)) == []


def test_l5_12_a_wallet_that_goes_away_in_the_midst_of_its_first_payment_is_told_comes_back_and_is_paid(
    jit: JustInTime, heard: list[tuple[bytes, dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    registering.register(jit.wallet.pubkey, "wallet", URL)
    send_all(jit.shop)
    goes_before_it_goes_on(jit, monkeypatch)
    payment = jit.pay(jit.buy())
    jit.run(lambda: jit.order().last_failure_reason == "PEER_NOT_REACHABLE", "it waits")
    send_all(jit.shop)
    assert [b"payment_incoming" in body for body, _ in heard] == [False, True]
    comes_back(jit)
    paid(jit, payment)
