"""Our process, or the node, dies at each step of a channel that opens just in time; and what is told twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from django.utils import timezone

from lightning.node import LndNode
from lightning.parts import FAIL
from orders.jit import gathering, saying
from orders.models import ChannelOpening, JitPart, Service
from orders.openings import committing, publishing
from orders.payments.lightning import passing
from orders.states import InvoiceState, OrderState
from tests.regtest.payment import FAILED, FINAL, SUCCEEDED
from tests.regtest.waiting import until
from tests.simulator.just_in_time import SIZE_SAT, JustInTime
from tests.simulator.test_just_in_time import fee_sat, jit

__all__ = ["jit"]


class Died(BaseException):
    """As kill -9 does: nobody catches it."""


def die(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, after: bool) -> list[str]:
    """Once; says whether it has."""
    call, died = getattr(owner, name), []

    def dying(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(owner, name, call)
        if after:
            call(*args, **options)
        died.append(name)
        raise Died

    monkeypatch.setattr(owner, name, dying)
    return died


#: Everything that is done at the node, and everything that is committed, from the claim to the published funding.
STEPS: list[tuple[Any, str]] = [
    (LndNode, "open_channel"),
    (LndNode, "fund_psbt"),
    (LndNode, "verify_psbt"),
    (LndNode, "finalize_psbt"),
    (LndNode, "add_alias"),
    (LndNode, "publish"),
    (committing, "promise"),
    (committing, "verify"),
    (passing, "_record_passed_on"),
    (passing, "conclude"),
    (committing, "keep"),
    (publishing, "_record_published"),
]


def whole(jit: JustInTime, payment: Any) -> None:
    """The payer has paid once or not at all, the buyer has all but the fee or nothing, and there is one funding."""
    until(lambda: payment.status() in FINAL, "the payment has ended")
    assert not jit.lost_msat()
    order = jit.order()
    if payment.status() == SUCCEEDED:
        assert order.hold_invoice.state == InvoiceState.SETTLED
        [channel] = jit.channels()
        parts = JitPart.objects.count()  # the simulated node counts whole satoshis, part by part
        assert 0 <= SIZE_SAT - fee_sat(jit) - channel.remote_balance_sat < parts
    else:
        assert order.hold_invoice.state == InvoiceState.CANCELLED and not jit.channels()
    txids = {row.funding_outpoint for row in ChannelOpening.objects.exclude(state="failed")}
    assert len(txids) == (1 if payment.status() == SUCCEEDED else 0)


def run_after_death(jit: JustInTime, ended: Callable[[], bool]) -> None:
    for _ in range(5):
        try:
            jit.run(ended, "it has come to its end")
        except Died:
            continue
        return


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[name for _, name in STEPS])
def test_our_process_dies_at_each_step_and_nobody_loses_anything(
    jit: JustInTime, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, after: bool
) -> None:
    died = die(monkeypatch, owner, name, after=after)
    payment = jit.pay(jit.buy())
    run_after_death(jit, lambda: jit.order().state in {OrderState.OPEN, OrderState.REFUNDED})
    assert died
    whole(jit, payment)


@pytest.mark.parametrize("takes", ["settles", "fails"])
@pytest.mark.parametrize("when", ["gathered", "passed on"])
def test_the_stream_breaks_and_the_node_asks_again_and_is_told_the_same(jit: JustInTime, takes: str, when: str) -> None:
    jit.wallet.change(takes=takes)
    payment = jit.pay(jit.buy(), max_parts=3)
    if when == "gathered":
        until(lambda: JitPart.objects.exclude(order=None).count() == 3, "they are gathered")
    else:
        with jit.wallet.holding_payments() if takes == "settles" else nullcontext():
            jit.run(lambda: JitPart.objects.filter(decision="resume").count() == 3, "they went on")
            until(lambda: jit.heard() == 3, "the node has heard of all: else it shows only that some may have gone on")
    assert jit.stream is not None
    jit.stream.close()
    with jit.listening():
        jit.run(lambda: jit.order().state in {OrderState.OPEN, OrderState.REFUNDED}, "it has come to its end")
        whole(jit, payment)


def test_control_a_part_that_went_on_and_is_failed_at_its_next_visit_is_paid_out_by_us(
    jit: JustInTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with jit.wallet.holding_payments():
        payment = jit.pay(jit.buy())
        jit.run(lambda: bool(jit.channels() and jit.channels()[0].htlcs), "the wallet holds it")
        monkeypatch.setattr(gathering, "answer_of", lambda row: FAIL)  # it has forgotten
        monkeypatch.setattr(saying, "first", lambda circuit: timezone.now())
        jit.payer.kill()  # and comes back: LND asks about what it has in that channel once more
        jit.payer.start()
        jit.run(lambda: bool(payment.status() in FINAL), "the payer has it back")
    until(lambda: jit.lost_msat() > 0, "and the wallet has it too")


def came_back_unheard(jit: JustInTime) -> Any:
    """A part that has gone on, and that the node has asked about once more while nobody was there to answer."""
    Service.objects.update(jit_client_trusts_lsp=False)  # so its channel stays
    with jit.wallet.holding_payments():
        payment = jit.pay(jit.buy())
        jit.run(lambda: bool(jit.channels() and jit.channels()[0].htlcs), "the wallet holds it")
        saying.done([JitPart.objects.get().circuit])  # it has had its time
        assert jit.stream is not None
        jit.stream.close()
        jit.payer.kill()
        jit.payer.start()
        jit.wallet.change(takes="fails")
        until(lambda: payment.status() == FAILED, "it came back")
    return payment


def test_a_part_that_came_back_while_nobody_was_asked_does_not_go_on_once_more(jit: JustInTime) -> None:
    came_back_unheard(jit)
    with jit.listening():
        until(lambda: JitPart.objects.get().circuit in jit.promised._waiting, "the node asks")
        until(lambda: not jit.promised._waiting, "it was looked at")
    assert not jit.lost_msat()


def test_control_else_the_wallet_has_it_and_its_payer_too(jit: JustInTime, monkeypatch: pytest.MonkeyPatch) -> None:
    came_back_unheard(jit)
    monkeypatch.setattr(saying, "first", lambda circuit: timezone.now())
    with jit.listening():
        until(lambda: jit.lost_msat() > 0, "it went on once more")


def test_what_our_node_may_not_have_heard_is_told_it_once_more(
    jit: JustInTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We die between writing down that it is told and telling it."""
    say, died = jit.promised._say, []
    monkeypatch.setattr(jit.promised, "_say", lambda *_: died.append(True))
    payment = jit.pay(jit.buy())
    jit.run(lambda: bool(died), "it goes on")
    assert jit.stream is not None
    jit.stream.close()
    monkeypatch.setattr(jit.promised, "_say", say)
    with jit.listening():
        jit.run(lambda: jit.order().state == OrderState.OPEN, "it has come to its end")
        whole(jit, payment)
