"""Parts for promised channels wait for whoever decides, in this process or another, and are told what was decided."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from lightning.parts import FAIL, RESUME, Answer, Intercepted, resume_with
from orders.jit import gathering
from orders.models import ChannelOrder, HoldInvoice, JitPart, JitPurchase, PartDecision, Service
from orders.states import InvoiceState
from streams.promised import Promised
from tests.factories import SnapshotFactory
from tests.integration.lsps2 import open_shop
from tests.integration.test_jit_gathering import SIZE_MSAT, bought, part
from tests.regtest.waiting import until


@pytest.fixture(autouse=True)
def shop(transactional_db: None, settings: Any) -> Service:
    return open_shop(settings, SnapshotFactory())


@pytest.fixture
def promised() -> Iterator[Promised]:
    one = Promised()
    yield one
    one.forget()


class Told:
    """What our node was told of a part."""

    def __init__(self, promised: Promised, one: Intercepted) -> None:
        self.answers: list[Answer] = []
        promised.decide(one, self)

    def __call__(self, answer: Answer) -> bool:
        self.answers.append(answer)
        return True


def decide(decision: PartDecision, fee_msat: int = 0) -> None:
    JitPart.objects.update(decision=decision, decided_at=timezone.now(), fee_msat=fee_msat)


def test_what_is_known_is_told_at_once(promised: Promised) -> None:
    purchase = bought()
    assert Told(promised, part(purchase, scid=purchase.number + 1)).answers == [RESUME]
    assert promised.is_ours(purchase.number)


def test_where_no_thread_could_begin_the_next_who_decides_begins_one(
    promised: Promised, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_many(_: threading.Thread) -> None:
        monkeypatch.undo()
        raise RuntimeError("can't start new thread")

    one = part(bought())
    monkeypatch.setattr(threading.Thread, "start", too_many)
    with pytest.raises(RuntimeError):
        Told(promised, one)
    told = Told(promised, one)  # as `Undecided` hands it over once more
    decide(PartDecision.RESUME, 1_000)
    until(lambda: told.answers, "it is told")


def test_what_another_process_decides_is_told_once(promised: Promised) -> None:
    told = Told(promised, part(bought()))
    assert not told.answers
    decide(PartDecision.RESUME, 1_000)
    until(lambda: told.answers, "it is told")
    assert told.answers == [resume_with(SIZE_MSAT - 1_000, fee_msat=1_000)]


def test_a_part_that_comes_again_is_told_to_who_asks_now(promised: Promised) -> None:
    one = part(bought())
    before, now = Told(promised, one), Told(promised, one)
    decide(PartDecision.FAIL)
    until(lambda: now.answers, "it is told")
    assert now.answers == [FAIL] and not before.answers


def test_while_the_database_is_away_it_waits(promised: Promised, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(promised, part(bought()))
    ask, away = gathering.answers, []

    def failing(circuits: Any) -> Any:
        if len(away) < 3:
            away.append(1)
            raise OperationalError("gone")
        return ask(circuits)

    monkeypatch.setattr(gathering, "answers", failing)
    decide(PartDecision.FAIL)
    until(lambda: told.answers, "it is told")
    assert len(away) == 3


def test_what_waits_for_too_long_for_its_others_goes_back_without_anybody_else(
    promised: Promised, settings: Any
) -> None:
    settings.LSPS2_HOLD_SECONDS = 0
    told = Told(promised, part(bought(), SIZE_MSAT - 1))
    until(lambda: told.answers, "it is told")
    assert told.answers == [FAIL]


def test_what_is_lost_is_counted_on_no_more_and_told_nothing(promised: Promised) -> None:
    one = part(bought(), SIZE_MSAT - 1)
    told = Told(promised, one)
    promised.lost(one)
    assert JitPart.objects.get().reason == "CHANNEL_CLOSED" and not told.answers
    assert not JitPurchase.objects.exclude(opened_at=None).exists()


def test_what_is_forgotten_before_it_was_told_is_heard_of_anew(promised: Promised) -> None:
    told = Told(promised, part(bought(), SIZE_MSAT - 1))
    JitPart.objects.all().delete()
    until(lambda: JitPart.objects.exists() or None, "it is written down")
    decide(PartDecision.FAIL)
    until(lambda: told.answers, "it is told")
    assert told.answers == [FAIL]


@pytest.mark.parametrize("state", [InvoiceState.CANCELLED, InvoiceState.SETTLED])
def test_of_what_went_on_and_is_over_nothing_is_said(promised: Promised, state: InvoiceState) -> None:
    """It came back or was taken while nobody was there to be asked: what goes on once more we should pay."""
    one = part(bought())
    Told(promised, one)  # an order is made for it
    order = ChannelOrder.objects.get()
    JitPart.objects.update(order=order, decision=PartDecision.RESUME, decided_at=timezone.now(), fee_msat=1_000)
    assert Told(promised, one).answers == [resume_with(SIZE_MSAT - 1_000, fee_msat=1_000)]  # while it is under way
    ended = {"cancelled_at": timezone.now()} if state == InvoiceState.CANCELLED else {"settled_at": timezone.now()}
    HoldInvoice.objects.update(state=state, **ended)
    assert Told(promised, one).answers == []


def test_control_else_it_goes_on_once_more(promised: Promised, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "is_over", lambda _: False)
    one = part(bought())
    Told(promised, one)
    order = ChannelOrder.objects.get()
    JitPart.objects.update(order=order, decision=PartDecision.RESUME, decided_at=timezone.now(), fee_msat=1_000)
    HoldInvoice.objects.update(state=InvoiceState.CANCELLED, cancelled_at=timezone.now())
    assert Told(promised, one).answers == [resume_with(SIZE_MSAT - 1_000, fee_msat=1_000)]
