"""The machine finds what it is there for: with one guard taken out it tells the loss that the guard prevents."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from orders import advance
from orders.models import ChannelOrder
from orders.operations import cancelling, deposits, leasing, opening, paying, publishing, security
from orders.transitions import locked
from tests.property.machine import Purchases
from tests.property.test_interleavings import OPTIONS, loop, machine

__all__ = ["loop", "machine"]

MOST_EXAMPLES = 120


@dataclass(frozen=True)
class Mutant:
    """One guard taken out, and what is said once it was missed."""

    name: str
    take_out: Callable[[pytest.MonkeyPatch], None]
    told: str


def settle_before_it_is_published(patch: pytest.MonkeyPatch) -> None:
    def claimed(order: ChannelOrder, *rest: Any) -> Any:
        if order.invoice is not None and order.invoice.state == "held":
            rest[0].settle_invoice(paying.keys.preimage(order.pk))
        return whole(order, *rest)

    whole = advance._claimed
    patch.setitem(advance._STEPS, advance.OrderState.URI_SET, claimed)


def believe_that_it_is_published(patch: pytest.MonkeyPatch) -> None:
    """A refusal, or a lost answer, counts as an answer."""

    def refused(order: ChannelOrder, attempt: Any, *_: Any) -> None:
        publishing._record_published(order.pk, attempt.pk)

    patch.setattr(publishing, "_refused", refused)


def return_without_the_nodes_word(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(paying, "finish_return", lambda order_id, node: paying.record_cancelled(order_id))


def count_deposits_that_are_in_no_block(patch: pytest.MonkeyPatch) -> None:
    for module in (security, deposits, paying):
        patch.setattr(module, "required_confirmations", lambda order: 0)


def leave_the_channel_of_a_failed_attempt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cancelling, "_left_behind", lambda attempt, node: set())


def leave_coins_leased(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leasing, "held", lambda order_id, node: [])


def forget_silent_attempts(patch: pytest.MonkeyPatch) -> None:
    """Whoever finds one calls it failed, and looks at nothing."""

    def recover(order: ChannelOrder, live: Any, node: Any, now: Any) -> Any:
        with locked(order.pk) as held:
            found = held.openings.get(pk=live.pk)
            found.state = "failed"
            found.save()
        return now

    patch.setattr(advance, "_recover", recover)


def publish_for_a_payment_that_may_be_gone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(opening.security, "look", lambda order, node: security.SETTLED)


MUTANTS = (
    Mutant("settles early", settle_before_it_is_published, "was settled, and no funding is published"),
    Mutant("believes in publishing", believe_that_it_is_published, "no funding is published|never rests|instead of"),
    Mutant("returns unseen", return_without_the_nodes_word, "node (ACCEPTED|OPEN), we cancelled"),
    Mutant("counts too early", count_deposits_that_are_in_no_block, "was delivered for"),
    Mutant("leaves channels", leave_the_channel_of_a_failed_attempt, "and has|instead of"),
    Mutant("leaves leases", leave_coins_leased, "stays leased"),
    Mutant("forgets attempts", forget_silent_attempts, "and has|instead of|stays leased"),
    Mutant("ignores the payment", publish_for_a_payment_that_may_be_gone, "was delivered for|never rests"),
)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_machine_finds_what_a_missing_guard_costs(
    machine: type[Purchases], monkeypatch: pytest.MonkeyPatch, mutant: Mutant
) -> None:
    found: list[str] = []

    class Watched(machine):  # type: ignore[valid-type, misc]
        # Nothing here needs these, and every step that shows nothing makes the search longer.
        unclaim = staff = customer_closes = web_dies_while_it_sells = engine_dies_at_a_look = fees_move = None

        def checked(self, check: Any, *arguments: Any) -> None:
            try:
                super().checked(check, *arguments)
            except AssertionError as false:
                found.append(str(false))
                raise

    mutant.take_out(monkeypatch)
    only_found = {**OPTIONS, "phases": [Phase.generate]}  # the smallest example is of no interest here
    options = settings(max_examples=MOST_EXAMPLES, stateful_step_count=30, derandomize=True, **only_found)
    with pytest.raises((AssertionError, Flaky, BaseExceptionGroup)):
        run_state_machine_as_test(Watched, settings=options)
    assert any(re.search(mutant.told, text) for text in found), found[:1]
