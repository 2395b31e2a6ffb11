"""The small form of `make attack`: everybody at once for half a minute. Outcomes are looked at, not times."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attack.attackers import EVERYONE, read_invoice
from tests.attack.expectations import EXPECTATIONS, Expectation
from tests.attack.honest import Got, Outcome
from tests.attack.page import lines
from tests.attack.runner import Attack, Plan, Report
from tests.attack.shop import Shop

SMALL = Plan(
    attackers=tuple(name for name, kind in EVERYONE.items() if kind.is_sociable),
    seed=7,
    seconds=25,
    buyer_every_seconds=2.0,
    patience_seconds=3.0,
    settles_seconds=12.0,
)
HELD = [each for each in EXPECTATIONS if each.held and not each.is_timed]


@pytest.fixture(scope="module")
def report() -> Iterator[Report]:
    with Shop() as shop:
        yield Attack(shop, SMALL).run()


@pytest.mark.parametrize("expectation", HELD, ids=lambda each: each.says)
def test_under_attack(report: Report, expectation: Expectation) -> None:
    assert expectation.is_met(report), "\n".join(lines(report))


def test_everybody_has_done_what_he_came_for(report: Report) -> None:
    idle = [each.name for each in report.attackers if not each.ledger.asked]
    assert not idle, idle
    assert report.prompt and report.patient
    assert report.seen.most_promised_sat > 0


@pytest.mark.parametrize(
    ("spoilt", "broken"),
    [
        ({"channels": {"one": 2}}, "No channel is opened twice."),
        ({"fundings": {"one": 2}}, "No order is funded twice."),
        ({"taken_for_nothing": ["one"]}, "No payment is taken for nothing."),
        ({"given_for_nothing": ["one"]}, "No channel is given for nothing."),
        ({"prompt": [Outcome(Got.ROBBED)]}, "No honest buyer is robbed."),
        ({"log": "Traceback"}, "The log has no defect."),
        ({"prompt": [Outcome(Got.REFUSED)]}, "Who pays at once and names his node has his channel."),
        ({"patient": [Outcome(Got.REFUSED)]}, "Who takes his time has it nine times of ten, else his money back."),
        ({"worst_loss_sat": 1}, "No order costs us more chain fees than it paid us."),
        ({"prompt": [Outcome(Got.CHANNEL, begun_seconds=3)]}, "An honest claim begins its opening within 2 s."),
    ],
)
def test_a_loss_would_be_seen(spoilt: dict[str, object], broken: str) -> None:
    fine = Report(SMALL, [], prompt=[Outcome(Got.CHANNEL)])
    assert all(each.is_met(fine) for each in EXPECTATIONS)
    for name, value in spoilt.items():
        setattr(fine, name, value)
    assert broken in [each.says for each in EXPECTATIONS if not each.is_met(fine)]


def test_an_invoice_is_read_as_a_stranger_reads_it() -> None:
    # The first example of BOLT 11 with a description: "Please consider supporting this project".
    example = (
        "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcy"
        "q5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dln"
        "qnwe5nsj45hhzjs3kn2gcqsymdq2wm5gl0e6ez5gnzd0v8jh5vp7yq5wyzg9u2n5yhpsnwy8gqqsyqy"
    )
    assert read_invoice(example)["d"] == b"Please consider supporting this project"
