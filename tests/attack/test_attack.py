"""The small form of `make attack`: everybody at once, for less than a minute. Outcomes are looked at, not times."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import cast

import pytest

from orders.api.clients import counted, tells_apart
from simulator import bolt11, scripts
from tests.attack.attackers import EVERYONE, possible_ids, read_invoice
from tests.attack.expectations import EXPECTATIONS, Expectation
from tests.attack.ground import Ground
from tests.attack.honest import Got, Outcome, look_again_seconds
from tests.attack.page import lines
from tests.attack.runner import Attack, Plan, Report, Seen
from tests.attack.shop import Shop

SMALL = Plan(
    attackers=tuple(name for name, kind in EVERYONE.items() if kind.is_sociable),
    seed=7,
    seconds=20,
    buyer_every_seconds=2.0,
    patience_seconds=3.0,
    settles_seconds=180.0,  # at most: a slow machine is no loss
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
        ({"seen": Seen(unheard=1)}, "Who asks by messages is told."),
        ({"seen": Seen(slowest_message_seconds=6)}, "Who asks by messages is told within 5 s."),
        ({"log": "Traceback"}, "The log has no defect."),
        ({"prompt": [Outcome(Got.MONEY_BACK)]}, "Who pays at once and names his node has his channel."),
        ({"prompt": [Outcome(Got.REFUSED)]}, "Who asks for a quarter of a minute may buy, nine times of ten."),
        ({"patient": [Outcome(Got.MONEY_BACK)]}, "Who takes his time has it nine times of ten, else his money back."),
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


def test_a_buyer_looks_often_at_first_and_as_often_as_wallets_are_told_to_when_he_has_waited_for_long() -> None:
    assert [look_again_seconds(waited) for waited in (0, 1, 2, 8, 40, 600)] == [0.25, 0.25, 0.25, 1, 5, 5]


def test_an_invoice_is_read_as_a_stranger_reads_it() -> None:
    payment_hash, memo = bytes(range(32)), "Lightning channel, order abc"
    invoice = bolt11.encode(
        private=scripts.key(b"seed", "node"),
        payment_hash=payment_hash,
        payment_secret=bytes(32),
        amount_msat=1_000_000,
        created_at=1_700_000_000,
        description=memo,
        expiry_seconds=3600,
        cltv_blocks=80,
    )
    fields = read_invoice(invoice)
    assert (fields["d"].decode(), fields["p"]) == (memo, payment_hash)
    assert possible_ids(invoice) == [
        "abc", "00010203-0405-0607-0809-0a0b0c0d0e0f", "00000000-0000-0000-0000-000000000000"
    ]  # fmt: skip


def test_the_server_takes_each_address_for_somebodys_own() -> None:
    """Else no limit of clients would hold, and all attackers were one with the honest."""
    ground = Ground(cast(Shop, None), random.Random(1), addresses=200)
    addresses = {address() for address in (ground.attackers_address, ground.buyers_address) for _ in range(2_000)}
    assert len(addresses) > 2_000
    assert all(tells_apart(counted(address)) for address in addresses)
