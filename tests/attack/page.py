"""What an attack came to, in lines to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.attack.attackers import Attacker
from tests.attack.expectations import EXPECTATIONS, slowest
from tests.attack.honest import Outcome
from tests.attack.runner import Report

_HEADS = ("attacker", "asked", "refused", "no answer", "locked", "held", "spent", "on chain")


def lines(report: Report) -> Iterator[str]:
    """All of it."""
    plan, seen = report.plan, report.seen
    yield f"seed {plan.seed}, {plan.seconds:.0f} s, {plan.addresses} addresses; amounts in satoshis"
    yield _row(_HEADS)
    for attacker in report.attackers:
        yield _row(_cells(attacker))
    yield f"honest, prompt:  {_told(report.prompt)}"
    yield f"honest, patient: {_told(report.patient)}"
    yield (
        f"promised at most {seen.most_promised_sat:,}; /healthz at most {seen.slowest_health_seconds:.1f} s,"
        f" {seen.unanswered} times not at all; by messages at most {seen.slowest_message_seconds:.1f} s,"
        f" {seen.unheard} times not at all; the oldest heartbeat {seen.oldest_heartbeat_seconds} s"
    )
    yield (
        f"earned {report.earned_sat:,}, chain fees {report.chain_fees_sat:,};"
        f" the worst order cost {report.worst_loss_sat:,} more than the {report.worst_loss_paid_sat:,} that it paid"
    )
    for each in EXPECTATIONS:
        yield f"{_verdict(each.is_met(report), each.held):<14} {each.says}"


def _verdict(is_met: bool, held: bool) -> str:
    if is_met:
        return "held" if held else "held this time"
    return "BROKEN" if held else "not held yet"


def _cells(attacker: Attacker) -> Sequence[str]:
    ledger = attacker.ledger
    sums = (
        ledger.most_locked_sat,
        ledger.paid_sat["IN_FLIGHT"] + ledger.paid_sat["FAILED"],
        ledger.paid_sat["SUCCEEDED"],
        ledger.sent_on_chain_sat,
    )
    counts = (ledger.asked, ledger.refused, ledger.unanswered)
    return attacker.name, *(f"{each:,}" for each in (*counts, *sums))


def _row(cells: Sequence[str]) -> str:
    return f"{cells[0]:<12}" + "".join(f"{cell:>13}" for cell in cells[1:])


def _told(outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return "nobody"
    got = ", ".join(f"{number} {what}" for what, number in sorted(Counter(each.got for each in outcomes).items()))
    held, begun = slowest(outcomes, "held_seconds"), slowest(outcomes, "begun_seconds")
    return f"{len(outcomes)}: {got}; slowest: held {held:.1f} s, opening begun {begun:.1f} s"
