"""The database falls back by its last commits, as an asynchronous standby that takes over has it; the node does not.

One order's life is played on a node of its own until one moment (a commit, or a call that changed the node). Then
the database is put back by so many commits, and everything runs on: at most one funding, one channel, the payment
settled once or returned once, nothing leased, and `recover` has nothing left to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from django.utils import timezone

from lightning import reaching, transactions
from orders import actors, queries, reconcile
from orders.models import Service, SwitchName
from orders.openings import committing, opening
from orders.operations import pausing
from tests.chaos.standby import Standby
from tests.chaos.trials import DELIVERED, RETURNED, Life, Trial, lightning, never_claimed, onchain, retried
from tests.property import truths
from tests.property.inside import Loop
from tests.property.test_interleavings import QuickClock
from tests.regtest.bitcoin import OUR_ADDRESS as ELSEWHERE

Begin = Callable[[Standby], AbstractContextManager[Trial]]


@pytest.fixture
def begin(loop: Loop, transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Begin:
    settings.ONCHAIN_ENABLED, settings.ONCHAIN_CONFIRMATIONS, settings.LND_NETWORK = True, 3, "regtest"
    settings.BUY_RATE = settings.READ_RATE = settings.CLAIM_RATE = "100000/min"
    clock = QuickClock()
    monkeypatch.setattr(reaching, "monotonic", clock.monotonic)
    monkeypatch.setattr(reaching, "sleep", clock.sleep)
    monkeypatch.setattr(opening, "NEGOTIATE_SECONDS", 1)
    monkeypatch.setattr(committing, "PENDING_SECONDS", 1)
    if not Service.objects.exists():
        Service.objects.create()

    @contextmanager
    def begin(standby: Standby) -> Iterator[Trial]:
        settings.PAUSE_IF_BEHIND, settings.PUBLISH_PATIENCE_SECONDS = False, 1800
        trial = Trial(loop, settings, standby)
        try:
            with standby.watching():
                yield trial
        finally:
            trial.network.stop()

    return begin


def see_through(trial: Trial, *, noticed: bool) -> None:
    """All that people and engines do afterwards. Not noticed: engines and buyer just go on, and staff come late."""
    if trial.life in DELIVERED:
        trial.network.buyer.change(presence="online", vanishes="")
    if noticed:
        trial.start_anew()
    else:
        trial.go_on()
        trial.ask_again()
        trial.go_on()
    trial.recover("--resume")
    trial.go_on()
    trial.ask_again()
    trial.go_on()
    if trial.life in RETURNED:
        trial.let_every_window_end()


def assert_whole(trial: Trial, life: Life) -> None:
    order = trial.order()
    assert order is not None
    seen = trial.facts()
    # expired: back to a time before it was paid, and nothing is held any more
    assert order.state in ({"open"} if life in DELIVERED else {"refunded", "expired"}), order.state
    assert order.live_opening is None
    truths.check_always(seen)
    truths.check_rest(seen, {})
    if order.counted_payment == "lightning" and life in DELIVERED:
        assert trial.shop.journal(trial.quote).count("payment_settled") == 1
    left = trial.recover("--resume")
    assert "FAILED" not in left, left
    assert queries.paused(SwitchName.SALES) is None


def delivered(seen: truths.Facts) -> tuple[list[str], list[str]]:
    """Channels and fundings, whoever's."""
    channels = [point for found in seen.channels.values() for _, point in found]
    return channels, [txid for found in seen.fundings.values() for txid in found]


def assert_a_person_can_see_to_it(trial: Trial) -> None:
    """The order itself is lost: what was delivered is listed, what was not is returned."""
    trial.start_anew()
    seen = trial.facts()
    channels, fundings = delivered(seen)
    held = "ACCEPTED" in seen.invoices.values()
    assert len(channels) <= 1 and len(fundings) <= 1
    assert bool(channels or held) == (queries.paused(SwitchName.SALES) is not None)
    if queries.paused(SwitchName.SALES) is None:
        pausing.pause(SwitchName.SALES, reason="restored", actor=actors.staff("ada"))
    left = trial.recover("--return-payments", "--resume")
    paid = "SETTLED" in seen.invoices.values()
    assert ("FAILED" in left) == (bool(channels or fundings) and not paid), left
    trial.go_on()
    after = trial.facts()
    assert delivered(after) == (channels, fundings)
    if held and fundings:
        assert "settled" in trial.recover("--settle-payments", "--resume")
        assert "SETTLED" in trial.facts().invoices.values()
        assert queries.paused(SwitchName.SALES) is None
    if not channels:
        assert "ACCEPTED" not in after.invoices.values() and "SETTLED" not in after.invoices.values()


def fall_back(begin: Begin, life: Life, standby: Standby, *, noticed: bool) -> None:
    """The life, the fall, and what follows. Raises: AssertionError that tells all of it."""
    with begin(standby) as trial:
        try:
            trial.play(life)
            if not standby.struck:  # it came to its end first
                standby.lost = min(standby.lost, len(standby.copies) - 1)
                standby.take_over()
            if trial.order() is None:
                assert_a_person_can_see_to_it(trial)
                return
            see_through(trial, noticed=noticed)
            assert_whole(trial, life)
        except Exception as wrong:
            raise AssertionError(f"{standby}, noticed={noticed}: {wrong!r}\n{trial.told()}") from wrong


#: Of the long matrix, so that one can be run without the others.
SHARES = 8
END = "the end"
ALL = 1000

#: Where most can go wrong: in every run, but for those that others are like.
EDGES = [
    pytest.param(lightning, "commit (lightning_payment_held)", 1, True, marks=pytest.mark.long),
    (lightning, "FinalizePsbt", 1, True),
    pytest.param(lightning, "FundingStateStep", 2, False, marks=pytest.mark.long),
    (lightning, "PublishTransaction", 1, False),
    (lightning, "PublishTransaction", ALL, True),
    (lightning, "SettleInvoice", ALL, True),
    (lightning, END, 6, False),
    (onchain, "LeaseOutput", 1, False),
    pytest.param(onchain, END, 10, True, marks=pytest.mark.long),
    (never_claimed, "CancelInvoice", 1, True),
    pytest.param(retried, END, 4, True, marks=pytest.mark.long),
]


@pytest.mark.parametrize(
    ("life", "moment", "lost", "dies"), EDGES, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_the_last_commits_lost_cost_nothing(begin: Begin, life: Life, moment: str, lost: int, dies: bool) -> None:
    fall_back(begin, life, Standby(moment, lost, dies), noticed=dies)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("dies", [True, False], ids=["dies", "cut off"])
@pytest.mark.parametrize("life", [*DELIVERED, *RETURNED], ids=lambda life: str(life.__name__))
@pytest.mark.parametrize("share", range(SHARES))
def test_the_last_commits_lost_at_any_moment_cost_nothing(begin: Begin, share: int, life: Life, dies: bool) -> None:
    """The last, the last two or the last three at each moment; and so many as you like at the end."""
    whole = Standby()
    with begin(whole) as trial:
        trial.play(life)
    cases = [(at, lost) for at, most in enumerate(whole.commits, start=1) for lost in (1, 2, 3) if lost <= most]
    cases += [(0, lost) for lost in range(1, len(whole.copies))]
    wrong = []
    for at, lost in cases[share::SHARES]:
        try:
            fall_back(begin, life, Standby(at, lost, dies), noticed=dies)
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, f"{len(wrong)} of {len(cases[share::SHARES])}\n" + "\n\n".join(wrong)


def test_control_without_the_look_before_an_attempt_a_second_channel_is_opened(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening.tracing, "find_trace", lambda order, node, **_: None)
    with pytest.raises(AssertionError, match="two fundings"):
        fall_back(begin, lightning, Standby(END, 6, False), noticed=False)


def test_control_without_the_look_before_a_cancel_the_order_is_stuck(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coins of the signed funding are freed: it cannot be put out any more, and nothing else may be opened."""
    monkeypatch.setattr(opening.tracing, "is_behind", lambda order, attempt, node: False)
    with pytest.raises(AssertionError, match="cannot be adopted"):
        fall_back(begin, lightning, Standby("FinalizePsbt", 1, True), noticed=True)


def test_a_standby_that_takes_over_under_a_running_process_is_noticed(
    begin: Begin, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has asked at its start, and asks again since another PostgreSQL answers."""
    standby = Standby(lost=ALL)
    with begin(standby) as trial:
        settings.PAUSE_IF_BEHIND = True
        monkeypatch.setattr(reconcile, "_asked", set())
        trial.buy()
        trial.pay()
        trial.turns()
        standby.lost = len(standby.copies) - 1
        standby.take_over()
        trial.turn()
        assert queries.paused(SwitchName.SALES) is None
        monkeypatch.setattr(queries, "database_started_at", timezone.now)
        trial.turn()
        assert queries.paused(SwitchName.SALES) is not None


def test_money_that_staff_sent_back_is_not_delivered_for_as_well(begin: Begin) -> None:
    """The order was given up and returned by hand; the database does not know, and tries again."""
    with begin(Standby()) as trial:
        trial.quote = trial.shop.buy()
        trial.deposit()
        trial.turns(blocks=4)
        order = trial.order()
        assert order is not None
        send_away(trial, trial.quote["total_amount"])
        trial.claim()
        trial.turns(blocks=2)
        assert "The wallet has sent this order's money back" in trial.told()
        assert not trial.facts().fundings
        assert "refund" in trial.recover()


def send_away(trial: Trial, amount_sat: int) -> None:
    """Staff send so much back by hand, with the label that the page tells them."""
    node_ = trial.shop.node
    order = trial.order()
    assert order is not None
    coin = next(coin for coin in node_.coins(min_confirmations=1) if coin.amount_sat > amount_sat)
    script = bytes.fromhex(transactions.address_script(coin.address))
    # One output is all that it can make; so the rest is the fee.
    psbt = transactions.conflict_psbt(
        coin.outpoint,
        pk_script=script,
        amount_sat=coin.amount_sat,
        to_address=ELSEWHERE,
        fee_sat=coin.amount_sat - amount_sat,
    )
    node_.publish(node_.finalize_psbt(psbt).raw, label=f"refund of {order.pk}")
