"""What the shop is held to under attack. One line each: `held` says whether today's code keeps it, so that a defence
that is new is switched on here, and stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.attack.honest import Got, Outcome
from tests.attack.runner import Report

_FINE: Final = frozenset({Got.CHANNEL, Got.MONEY_BACK, Got.REFUSED})


@dataclass(frozen=True)
class Expectation:
    """`is_timed`: a slow machine alone can break it, so only `make attack` looks, not `make test`."""

    says: str
    is_met: Callable[[Report], bool]
    held: bool
    is_timed: bool = False


def share(outcomes: Sequence[Outcome], *wanted: Got) -> float:
    """How many of ten had one of these, as a part of one; all, where there was nobody."""
    return sum(each.got in wanted for each in outcomes) / len(outcomes) if outcomes else 1.0


def slowest(outcomes: Sequence[Outcome], what: str) -> float:
    """The longest that any who came so far had to wait."""
    return max((getattr(each, what) for each in outcomes if getattr(each, what) is not None), default=0.0)


def _paid(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [each for each in outcomes if each.got is not Got.REFUSED]


def _everybody(report: Report) -> list[Outcome]:
    return [*report.prompt, *report.patient]


EXPECTATIONS: Final = (
    Expectation("No channel is opened twice.", lambda r: max(r.channels.values(), default=0) <= 1, held=True),
    Expectation("No order is funded twice.", lambda r: max(r.fundings.values(), default=0) <= 1, held=True),
    Expectation("No payment is taken for nothing.", lambda r: not r.taken_for_nothing, held=True),
    Expectation("No channel is given for nothing.", lambda r: not r.given_for_nothing, held=True),
    Expectation("Nobody gains what is another's.", lambda r: not any(a.ledger.gained for a in r.attackers), held=True),
    Expectation("No honest buyer is robbed.", lambda r: share(_everybody(r), Got.ROBBED) == 0, held=True),
    Expectation("Reads are answered.", lambda r: not r.seen.unanswered, held=True),
    Expectation("Who asks by messages is told.", lambda r: not r.seen.unheard, held=True),
    Expectation("The log has no defect.", lambda r: "Traceback" not in r.log, held=True),
    Expectation(
        "Every honest buyer has a channel, his money back, or was told no before he paid.",
        lambda r: share(_everybody(r), *_FINE) == 1, held=True,
    ),
    Expectation(
        "Who pays at once and names his node has his channel.",
        lambda r: share(_paid(r.prompt), Got.CHANNEL) == 1, held=True,
    ),
    Expectation(
        "Who asks for a quarter of a minute may buy, nine times of ten.",
        lambda r: share(_everybody(r), Got.REFUSED) <= 0.1, held=True,
    ),
    Expectation(
        "Who takes his time has it nine times of ten, else his money back.",
        lambda r: share(_paid(r.patient), Got.CHANNEL) >= 0.9
        and share(_paid(r.patient), Got.CHANNEL, Got.MONEY_BACK) == 1,
        held=True,
    ),
    Expectation("No order costs us more chain fees than it paid us.", lambda r: r.worst_loss_sat <= 0, held=True),
    Expectation(
        "Reads are answered within 5 s.", lambda r: r.seen.slowest_health_seconds < 5, held=True, is_timed=True
    ),
    Expectation(
        "Who asks by messages is told within 5 s.",
        lambda r: r.seen.slowest_message_seconds < 5, held=True, is_timed=True,
    ),
    Expectation(
        "No heartbeat is older than 70 s.", lambda r: r.seen.oldest_heartbeat_seconds <= 70, held=True, is_timed=True
    ),
    Expectation(
        "A held payment is recorded within 1 s.",
        lambda r: slowest(r.prompt, "held_seconds") <= 1, held=True, is_timed=True,
    ),
    Expectation(
        "An honest claim begins its opening within 2 s.",
        lambda r: slowest(r.prompt, "begun_seconds") <= 2, held=True, is_timed=True,
    ),
)  # fmt: skip
