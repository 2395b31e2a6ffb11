"""What the tests that kill processes would see, were one guard of the server missing: each is taken out in turn."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.chaos.conftest import StartRun
from tests.chaos.guards import GUARDS
from tests.chaos.mortal import AFTER, BEFORE, COINS, ROLE, WEB, WORKER, Death
from tests.chaos.runs import Plan

_LIMIT_SECONDS = 12.0


@dataclass(frozen=True)
class Control:
    """The order's life, where in it a process dies, and what is seen when the guard is missing."""

    life: str
    when: str
    name: str
    seen: str
    role: str = WORKER

    def plan(self, without: str = "") -> Plan:
        return Plan(self.life, deaths=(Death(self.role, 1, self.when, ROLE, self.name),), without=without)


_OUR_WORD_ALONE = "is settled by our records alone"
CONTROLS = {
    "settling_waits_for_publishing": Control("refused", BEFORE, "OpenChannel", "never: refunded"),
    "the_node_says_what_is_settled": Control("named_at_purchase", BEFORE, "SettleInvoice", _OUR_WORD_ALONE),
    "the_node_says_what_is_returned": Control("cancelled", BEFORE, "CancelInvoice", "node ACCEPTED, we cancelled"),
    "settling_is_looked_at_again": Control("named_at_purchase", BEFORE, "SettleInvoice", "node ACCEPTED, we held"),
    "publishing_is_looked_at_again": Control("named_at_purchase", BEFORE, "PublishTransaction", "never: delivered"),
    "the_journal_is_written_with_the_move": Control(
        "named_at_purchase", AFTER, "COMMIT-after-GetInfo", "a gap in the journal"
    ),
    "a_silent_attempt_is_cancelled_at_the_node": Control("begun_anew", AFTER, "FundingStateStep", "never: delivered"),
    "a_cancelled_channel_is_abandoned": Control("begun_anew", BEFORE, "AbandonChannel", "never: delivered"),
    "a_cancelled_attempt_releases_its_coins": Control("begun_anew", BEFORE, "ReleaseOutput", "stays leased"),
    "cancelling_is_looked_at_again": Control("begun_anew", BEFORE, "ReleaseOutput", "never: delivered"),
    "nothing_is_published_without_its_channel": Control(
        "named_at_purchase", BEFORE, "FundingStateStep", "never: delivered"
    ),
    "a_promise_is_kept_once_the_channel_is_there": Control("usable_at_once", BEFORE, "FundingStateStep", "never: "),
    "a_zero_conf_channel_is_kept": Control(
        "usable_at_once", AFTER, "pending_outpoint", "a usable channel was abandoned"
    ),
    "a_key_stands_for_one_order": Control(
        "claimed_later", AFTER, "COMMIT-after-NewAddress", "never rests: created", WEB
    ),
    "who_was_told_to_go_is_looked_for": Control(
        "gives_way", AFTER, "COMMIT-after-EstimateFee", "never: those that were told to go"
    ),
    "a_quote_ends_with_its_invoice": Control("gives_way", AFTER, "CancelInvoice", "node OPEN, we open"),
    "a_reshaping_is_stored_before_it_is_published": Control(
        "split", AFTER, "PublishTransaction", "2 were published", COINS
    ),
    "a_reshaping_is_gone_on_with": Control("split", AFTER, "FinalizePsbt", "never: nothing of the reshaping", COINS),
    "what_a_reshaping_has_leased_is_freed": Control(
        "consolidated", AFTER, "LeaseOutput", "never: nothing of the reshaping", COINS
    ),
    "there_is_one_reshaping_at_a_time": Control(
        "split_again_at_once", AFTER, "PublishTransaction", "2 are deep", COINS
    ),
}

#: In every run of the tests; the others in the long one.
_SHORT = {
    "the_node_says_what_is_settled", "the_node_says_what_is_returned", "the_journal_is_written_with_the_move",
    "a_quote_ends_with_its_invoice", "a_zero_conf_channel_is_kept",
    "a_reshaping_is_stored_before_it_is_published",
}  # fmt: skip
_GUARDS = [guard if guard in _SHORT else pytest.param(guard, marks=pytest.mark.long) for guard in CONTROLS]


def test_every_guard_has_its_control() -> None:
    assert set(CONTROLS) == set(GUARDS)


@pytest.mark.parametrize("guard", _GUARDS)
def test_the_same_death_with_the_guard_costs_nothing(start: StartRun, guard: str) -> None:
    run = start(CONTROLS[guard].plan())
    run.live()
    assert run.processes.met, "nobody died"


@pytest.mark.parametrize("guard", _GUARDS)
def test_control_without_the_guard_the_loss_is_seen(start: StartRun, guard: str) -> None:
    run = start(CONTROLS[guard].plan(without=guard), patience_seconds=_LIMIT_SECONDS)
    with pytest.raises(AssertionError, match=CONTROLS[guard].seen):
        run.live()
