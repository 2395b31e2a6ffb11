"""Whose node is connected is not woken; whoever is away is, in threads that nothing else waits for."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from django.db import connection, transaction

from lightning.errors import NodeUnavailable
from orders.models import WakeUp, WakeUpOutcome, Webhook
from orders.waking import registering, sending, telling
from streams import waking
from streams.process import Process
from streams.waking import Waking
from tests.factories import pubkey

pytestmark = pytest.mark.django_db(transaction=True)

AWAY, THERE = pubkey(1), pubkey(2)
URL = "https://push.example.org/"


class Seen:
    """Who is connected; None: nobody can tell."""

    def __init__(self, *pubkeys: str) -> None:
        self.pubkeys: tuple[str, ...] | None = pubkeys

    async def there(self, pubkey: str) -> bool:
        if self.pubkeys is None:
            raise NodeUnavailable("away")
        return pubkey in self.pubkeys


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[int]:
    """What was sent; both wallets are wanted, and have heard that they are registered."""
    settings.LSPS5_ENABLED = True
    for key in (AWAY, THERE):
        registering.register(key, "wallet", URL)
        WakeUp.objects.all().delete()
    for key in (AWAY, THERE):
        telling.payment_incoming(key)
    found: list[int] = []
    monkeypatch.setattr(waking, "_send", found.append)
    monkeypatch.setattr(waking, "_node_is_away", lambda: False)
    monkeypatch.setattr(waking, "_lacking", lambda: "")
    return found


def one_round(seen: Seen) -> bool:
    async def go() -> bool:
        lane = Waking(seen)  # type: ignore[arg-type]
        try:
            return await lane._round()
        finally:
            await lane.close(5)

    return asyncio.run(go())


def outcomes() -> dict[str, str]:
    return dict(WakeUp.objects.values_list("webhook__node_pubkey", "outcome"))


def test_l5_11_whose_node_is_connected_is_not_woken(sent: list[int]) -> None:
    assert one_round(Seen(THERE))
    assert sent == [WakeUp.objects.get(webhook__node_pubkey=AWAY).pk]
    assert outcomes() == {AWAY: "", THERE: WakeUpOutcome.THERE}


def test_without_the_right_nothing_is_taken(sent: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "_lacking", lambda: "/lnrpc.Lightning/SignMessage")
    assert not one_round(Seen()) and not sent and len(sending.take(10)) == 2


def test_some_threads_are_for_what_payments_wait_for(sent: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "_THREADS", waking._FOR_URGENT)
    WakeUp.objects.filter(webhook__node_pubkey=THERE).update(failures=1)
    assert one_round(Seen())
    assert sent == [WakeUp.objects.get(webhook__node_pubkey=AWAY).pk]


def test_a_node_that_does_not_say_what_we_may_keeps_no_hand_of_those_that_record_payments(
    sent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(waking, "_lacking", lambda: f"what it may not: {answered.wait(20)}")

    async def go() -> str:
        process = Process(threads=1, database={})
        asking = [asyncio.create_task(process._waking._round()) for _ in range(3)]
        await asyncio.sleep(0.2)  # each has asked
        try:
            return await asyncio.wait_for(process._hands.do(lambda: "recorded"), 5)
        finally:
            answered.set()
            await asyncio.gather(*asking)
            await asyncio.gather(*(part.close(5) for part in (process._waking, process._hands, process._lanes)))

    assert asyncio.run(go()) == "recorded"


def test_a_webhook_that_is_removed_while_its_wallet_is_told_takes_what_it_was_to_be_told_with_it(
    sent: list[int],
) -> None:
    registering.register(pubkey(3), "wallet", URL)
    removed: list[bool] = []

    def remove() -> None:
        removed.append(registering.remove(pubkey(3), "wallet"))
        connection.close()

    removing = threading.Thread(target=remove)
    with transaction.atomic():
        assert telling.payment_incoming(pubkey(3)) == 1
        removing.start()
        time.sleep(0.3)  # it waits for our lock
    removing.join()
    assert removed == [True] and not Webhook.objects.filter(node_pubkey=pubkey(3)).exists()
