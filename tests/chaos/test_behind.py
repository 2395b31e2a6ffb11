"""Records that are behind the node, and orders whose money staff have moved by hand: what an attack on both found."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID, uuid4

import pytest

from orders import actors, keys, marks, queries, recovering
from orders.advance import advance
from orders.errors import NotPossible
from orders.models import ChannelOrder, SwitchName
from orders.openings import opening, terms
from orders.operations import ending, pausing
from orders.payments import lightning as lightning_rail
from orders.payments.lightning import holding
from simulator.control import FAIL
from tests.chaos.standby import Standby
from tests.chaos.test_failover import Begin, begin, send_away
from tests.chaos.trials import Trial, lightning

__all__ = ["begin"]  # a fixture

_SURPLUS_SAT = 50_000


def test_a_second_fall_is_noticed_beside_what_the_first_has_left(begin: Begin) -> None:
    """The first left a channel without its order, delivered and paid; the second loses a held payment."""
    standby = Standby()
    with begin(standby) as trial:
        trial.play(lightning)
        falls(standby, trial, len(standby.copies) - 1)
        assert trial.order() is None
        trial.start_anew()
        assert queries.paused(SwitchName.SALES) is not None
        trial.recover("--resume")
        assert queries.paused(SwitchName.SALES) is None
        standby.copies.clear()
        standby.copy()
        trial.buy()
        trial.pay()
        standby.copy()
        falls(standby, trial, 1)
        assert "ACCEPTED" in trial.facts().invoices.values()
        trial.start_anew()
        assert queries.paused(SwitchName.SALES) is not None


def test_a_death_between_the_two_pauses_leaves_nothing_running(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    standby = Standby()
    with begin(standby) as trial:
        trial.play(lightning)
        falls(standby, trial, len(standby.copies) - 1)
        pause, made = pausing.pause, []

        def dies(name: SwitchName, **more: Any) -> Any:
            if made:
                raise SystemExit
            made.append(name)
            return pause(name, **more)

        with monkeypatch.context() as patch:
            patch.setattr(pausing, "pause", dies)
            with pytest.raises(SystemExit):
                recovering.pause_if_behind(trial.shop.node)
        trial.start_anew()
        assert all(queries.paused(name) is not None for name in SwitchName)


def test_what_staff_have_paused_stays_so(begin: Begin) -> None:
    standby = Standby()
    with begin(standby) as trial:
        trial.play(lightning)
        falls(standby, trial, len(standby.copies) - 1)
        pausing.pause(SwitchName.SALES, reason="we move", actor=actors.staff("ada"))
        trial.start_anew()
        trial.recover("--resume")
        assert queries.paused(SwitchName.OPENINGS) is None
        still = queries.paused(SwitchName.SALES)
        assert still is not None and still.reason == "we move"


def test_another_programs_held_payment_is_left_alone(begin: Begin) -> None:
    with begin(Standby()) as trial:
        payment_hash = hashlib.sha256(b"\x07" * 32).hexdigest()
        opened = trial.shop.node.add_hold_invoice(
            payment_hash=payment_hash, amount_sat=1000, memo=f"swap {uuid4()}", expiry_seconds=3600, cltv_blocks=300
        )
        trial.control.pay(opened.payment_request, payer="buyer", amount_msat=1_000_000)
        trial.start_anew()
        assert queries.paused(SwitchName.SALES) is None
        pausing.pause(SwitchName.SALES, reason="we look", actor=actors.staff("ada"))
        trial.recover("--return-payments")
        assert trial.shop.node.invoice(payment_hash).state == "accepted"


@pytest.mark.parametrize("memo", ["with the reference", "with the id, as before"])
@pytest.mark.parametrize("delivered_first", [False, True])
def test_a_payment_whose_row_was_lost_is_found_by_its_memo_alone(
    begin: Begin, memo: str, delivered_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Returned, or settled where the channel is there: the preimage is made from the id that the memo stands for."""
    if memo != "with the reference":
        monkeypatch.setattr(marks, "invoice_memo", lambda order_id: f"Lightning channel, order {order_id}")
    standby = Standby()
    with begin(standby) as trial:
        if delivered_first:
            with monkeypatch.context() as patch:
                patch.setattr(lightning_rail, "settle", lambda order_id, node: None)
                trial.play(lightning)
        else:
            trial.buy()
            trial.pay()
        order_id = trial.quote["order_id"]
        falls(standby, trial, len(standby.copies) - 1)
        assert trial.order() is None and "ACCEPTED" in trial.facts().invoices.values()
        trial.start_anew()
        assert queries.paused(SwitchName.SALES) is not None
        listed = trial.recover("--dry-run")
        assert f"{order_id} ({keys.reference(UUID(order_id))})" in listed  # as the payer's memo has it
        trial.recover("--settle-payments" if delivered_first else "--return-payments")
        assert ("SETTLED" if delivered_first else "CANCELED") in trial.facts().invoices.values()


@pytest.mark.parametrize("delivered_first", [False, True])
def test_a_surplus_that_went_back_costs_no_channel_and_no_resume(begin: Begin, delivered_first: bool) -> None:
    with begin(Standby()) as trial:
        trial.quote = trial.shop.buy()
        trial.control.deposit((trial.quote["btc_address"], trial.quote["total_amount"] + _SURPLUS_SAT))
        trial.turns(blocks=4)
        if delivered_first:
            trial.claim()
            trial.turns(blocks=10)
        send_away(trial, _SURPLUS_SAT)
        if not delivered_first:
            trial.claim()
        trial.turns(blocks=10)
        order = trial.order()
        assert order is not None and order.state == "open", trial.told()
        assert "FAILED" not in trial.recover("--resume")


def test_settled_by_hand_and_sent_back_is_not_delivered_for(begin: Begin) -> None:
    """Our row says that the payment is held; the node, that it was settled; the wallet, that it went back."""
    with begin(Standby()) as trial:
        trial.buy()
        trial.pay()
        trial.turns()
        order = trial.order()
        assert order is not None
        trial.shop.node.settle_invoice(keys.preimage(order.pk))
        send_away(trial, trial.quote["total_amount"])
        trial.claim()
        trial.turns(blocks=3)
        assert not trial.facts().fundings


def test_a_funding_that_the_wallet_alone_believes_is_not_adopted(begin: Begin, settings: Any) -> None:
    """Published late by the node, two blocks deep, and taken back by a reorganisation that has the conflict instead."""
    with begin(Standby()) as trial:
        settings.PUBLISH_PATIENCE_SECONDS = 0
        trial.buy(node_uri=trial.network.buyer.p2p_address)
        trial.control.add_fault("PublishTransaction", FAIL, times=1)
        trial.pay()
        trial.turns()
        trial.turns()
        order = trial.order()
        live = order.live_opening if order is not None else None
        assert live is not None and live.state == "conflicting" and live.transaction and live.conflict
        raw, conflict = bytes(live.transaction.raw or b""), bytes(live.conflict.raw or b"")
        trial.control.evict(live.conflict.txid)
        trial.shop.node.publish(raw, label=live.transaction.label)  # the call that stood still in the node
        trial.network.mine(2)
        trial.turns()
        trial.control.reorganise(2, [conflict])
        for _ in range(25):
            trial.turns(blocks=1)
        order = trial.order()
        assert order is not None and order.state == "open", trial.told()
        assert order.openings.count() == 2


def test_an_order_is_adopted_after_the_one_that_has_its_peer(begin: Begin) -> None:
    with begin(Standby()) as trial:
        behind, _ = two_orders_of_one_peer(trial)
        advance(behind.pk)
        behind.refresh_from_db()
        assert not behind.needs_staff and behind.last_failure_reason == "PEER_BUSY"


def test_recover_goes_on_where_a_peer_is_taken(begin: Begin) -> None:
    with begin(Standby()) as trial:
        behind, other = two_orders_of_one_peer(trial)
        ChannelOrder.objects.filter(pk=other.pk).update(due_at=None)
        trial.recover()
        behind.refresh_from_db()
        assert behind.last_failure_reason == "PEER_BUSY"


def test_staff_cancel_nothing_while_the_node_knows_more(begin: Begin) -> None:
    """The funding was published; the database has forgotten all since the claim, and the payment must not go back."""
    standby = Standby(strikes_at="PublishTransaction", lost=3)
    with begin(standby) as trial:
        trial.play(lightning)
        order = trial.order()
        assert order is not None and order.state == "uri_set" and not order.openings.exists()
        trial.start_anew()
        with pytest.raises(NotPossible, match="recover"):
            ending.cancel(order.pk, actor=actors.staff("ada"))
        trial.recover("--resume")
        trial.go_on()
        order.refresh_from_db()
        assert order.state == "open" and "SETTLED" in trial.facts().invoices.values()


def falls(standby: Standby, trial: Trial, lost: int) -> None:
    """The database has lost so many of its last commits."""
    standby.lost = lost
    standby.take_over()


def two_orders_of_one_peer(trial: Trial) -> tuple[ChannelOrder, ChannelOrder]:
    """One is claimed, and open in truth; the attempt of the other has just begun."""
    trial.play(lightning)
    behind = trial.order()
    assert behind is not None
    claimed = next(number for number, copy in enumerate(trial.standby.copies) if copy.last_word == "claimed")
    falls(trial.standby, trial, len(trial.standby.copies) - 1 - claimed)
    trial.buy()
    trial.pay()
    other = ChannelOrder.objects.exclude(pk=behind.pk).get()
    holding.hold(other.pk, trial.shop.node.invoice(other.hold_invoice.payment_hash))
    trial.claim()
    opening._intend(other.pk, terms.of(queries.order_or_raise(other.pk)))
    behind.refresh_from_db()
    return behind, other
