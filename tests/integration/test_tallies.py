"""Days that are kept are what they come to, whatever changes afterwards; and what they come to never waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from orders.figures import kinds, tally
from orders.figures.period import Period
from orders.figures.waiting import BUCKETS_SECONDS, CELLS, cell, percentile
from orders.models import ChannelOpening, ChannelOrder, DayFigure, RollUp, RollUpName, StaleDay
from orders.rollups import keeping, looking, tallies
from tests.factories import OrderFactory
from tests.integration.history import LIVES, happen
from tests.undone import undone
from watch.doctor import examination
from watch.doctor.finding import Finding, Health

pytestmark = pytest.mark.django_db

Told = dict[str, list[tally.Sum]]


@pytest.fixture
def shop(db: None) -> None:
    """A history whose days are kept."""
    happen(3, 3 * len(LIVES), days=20)
    _execute("UPDATE orders_refund SET created_at = created_at - interval '4 days'")
    tallies.keep()


def told() -> Told:
    """All of it, by days."""
    return {kind.name: tally.summed(kind, unit=tally.Unit.DAY) for kind in kinds.KINDS}


def counted() -> Told:
    """The same without anything that is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally, "kept", lambda: (None, []))
        return told()


def test_what_is_kept_is_what_is_counted(shop: None) -> None:
    assert told() == counted()
    assert RollUp.objects.get(name=RollUpName.FIGURES).through is not None and not StaleDay.objects.exists()
    assert {each.figure for each in DayFigure.objects.all()} == {kind.name for kind in kinds.KINDS} - {"wallets"}


def test_control_what_is_told_comes_of_what_is_kept(shop: None) -> None:
    DayFigure.objects.filter(figure="states").update(sums=[0, 0])
    assert told() != counted()


#: Each column of an order that some figure looks at, and what may become of it late.
CHANGES = {
    "state": "UPDATE orders_channelorder SET state = 'closing' WHERE state = 'open'",
    "made": "UPDATE orders_channelorder SET created_at = created_at - interval '3 days'",
    "paid": "UPDATE orders_channelorder SET paid_at = paid_at + interval '1 day'",
    "claimed": "UPDATE orders_channelorder SET claimed_at = created_at WHERE state = 'refunded'",
    "opened": "UPDATE orders_channelorder SET opened_at = opened_at - interval '2 days'",
    "never opened": "UPDATE orders_channelorder SET opened_at = NULL",
    "closed": "UPDATE orders_channelorder SET closed_at = closed_at - interval '2 days'",
    "given up": "UPDATE orders_channelorder SET give_up_reason = 'CHANNEL_REJECTED' WHERE state = 'refunded'",
    "failed": "UPDATE orders_channelorder SET last_failure_reason = 'PEER_NOT_REACHABLE' WHERE state = 'uri_set'",
    "door": "UPDATE orders_channelorder SET door = 'lsps2'",
    "token": "UPDATE orders_channelorder SET token = 'AlbyHub'",
    "coupon": "UPDATE orders_channelorder SET coupon_id = NULL, discount_sat = 0",
    "discount": "UPDATE orders_channelorder SET discount_sat = 7 WHERE coupon_id IS NOT NULL",
    "size": "UPDATE orders_channelorder SET lsp_balance_sat = lsp_balance_sat + 1",
    "push": """UPDATE orders_channelorder SET client_balance_sat = client_balance_sat + 1,
                                              order_total_sat = order_total_sat + 1""",
    "fee": "UPDATE orders_channelorder SET fee_total_sat = fee_total_sat + 1, order_total_sat = order_total_sat + 1",
    "lease": "UPDATE orders_channelorder SET lease_ends_at = now() + interval '9 days' WHERE closed_at IS NOT NULL",
    "attempt": "UPDATE orders_channelopening SET state = 'failed' WHERE state = 'confirmed'",
    "attempt begun": "UPDATE orders_channelopening SET created_at = created_at - interval '2 days'",
    "attempt's failure": "UPDATE orders_channelopening SET failure_reason = 'PEER_NOT_REACHABLE'",
    "attempt gone": "DELETE FROM orders_channelopening",
    "close": "UPDATE orders_channelopening SET close_type = 'remote_force_close'",
    "closing block": "UPDATE orders_channelopening SET close_type = 'breach_close', close_height = 7",
    "why refunded": "UPDATE orders_refund SET cause = 'cancelled'",
    "refund": "UPDATE orders_refund SET amount_sat = amount_sat + 1",
    "refund made": "UPDATE orders_refund SET created_at = created_at - interval '2 days'",
    "refund's fee": "UPDATE orders_refund SET fee_sat = fee_sat + 1",
    "refund gone": "DELETE FROM orders_refund",
}


def test_what_changes_late_is_told_at_once_and_kept_anew(shop: None) -> None:
    before = told()
    for change, statement in CHANGES.items():
        with undone():
            _execute("UPDATE orders_channelorder SET lease_ends_height = 100 WHERE closed_at IS NOT NULL")
            _execute(statement)
            assert counted() != before, f"{change} changes nothing: it proves nothing"
            assert told() == counted(), change
            tallies.keep()
            assert told() == counted() and not StaleDay.objects.exists(), change


#: What says so, and a change that nothing else says.
TRIGGERS = {
    "order_changes_late ON orders_channelorder": CHANGES["door"],
    "attempt_comes_or_goes ON orders_channelopening": CHANGES["attempt gone"],
    "attempt_changes ON orders_channelopening": CHANGES["attempt"],
    "refund_changes ON orders_refund": CHANGES["why refunded"],
    "refund_comes_or_goes ON orders_refund": CHANGES["refund gone"],
}


def test_control_without_any_of_the_triggers_it_is_not(shop: None) -> None:
    for trigger, change in TRIGGERS.items():
        with undone():
            _execute(f"DROP TRIGGER {trigger}")
            _execute(change)
            assert told() != counted(), trigger


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_an_order_that_comes_late_or_goes_is_told(shop: None) -> None:
    before, long_ago = told(), timezone.now() - timedelta(days=400)
    order = OrderFactory(created_at=long_ago, invoice=False)
    assert told() == counted() != before
    tallies.keep()
    order.reservation.delete()
    ChannelOrder.objects.filter(pk=order.pk).delete()
    assert told() == counted() == before


def test_control_without_its_trigger_an_order_that_comes_late_is_not_told(shop: None) -> None:
    _execute("DROP TRIGGER order_comes_late ON orders_channelorder")
    OrderFactory(created_at=timezone.now() - timedelta(days=9), state="rejected")
    assert told() != counted()


def test_who_buys_today_writes_nothing_for_it(shop: None) -> None:
    order = OrderFactory(open=True)
    ChannelOrder.objects.filter(pk=order.pk).update(state="closing", version=9)
    ChannelOpening.objects.filter(order=order).update(state="failed")
    assert not StaleDay.objects.exists()
    assert told() == counted()


# How they are kept


def test_a_first_round_ends_in_time_and_the_next_go_on_while_all_is_told(shop: None) -> None:
    everything = told()
    RollUp.objects.filter(name=RollUpName.FIGURES).update(meaning="another version's")
    OrderFactory(created_at=timezone.now() - timedelta(days=100))
    now, rounds = counted(), 0
    while tallies.keep(seconds=0):
        assert told() == now != everything
        rounds += 1
    assert rounds >= 100 / tallies.AT_A_TIME


def test_what_another_version_has_kept_is_no_answer(shop: None) -> None:
    DayFigure.objects.update(sums=[9] * 6)
    RollUp.objects.filter(name=RollUpName.FIGURES).update(meaning="another version's")
    assert told() == counted()


def test_what_is_kept_as_something_else_is_found_and_put_right_by_making_it_anew(shop: None) -> None:
    row = DayFigure.objects.filter(figure="paid").order_by("day")[3]
    assert tally.astray(row.day) == []
    DayFigure.objects.filter(pk=row.pk).update(sums=[row.sums[0] + 1, row.sums[1]])
    assert tally.astray(row.day) == ["paid"]
    RollUp.objects.filter(name=RollUpName.FIGURES).update(looked_through=row.day - timedelta(days=1))
    assert said_by_the_doctor().health is Health.OK
    assert looking.look() == ["paid"] and told() == counted()
    assert said_by_the_doctor().health is Health.WARNING and str(row.day) in said_by_the_doctor().seen
    keeping.rebuild()
    assert tally.astray(row.day) == [] and told() == counted()
    assert said_by_the_doctor().health is Health.OK


def said_by_the_doctor() -> Finding:
    return next(each for each in examination._rows(timezone.now()) if each.name == "figures")


# Which days


NOON, DAY = tally.midnight(date(2026, 3, 5)) + timedelta(hours=12), timedelta(days=1)


def covered(period: Period, through: date | None, *stale: date) -> tuple[int, list[Period]]:
    found = tally.cover(period, through, stale)
    return max(0, (found.last - found.first).days + 1) - len(found.stale), list(found.counted)


def test_days_that_are_not_whole_or_not_kept_are_counted() -> None:
    third, fourth = (tally.midnight(date(2026, 3, day)) for day in (3, 4))
    period = Period(NOON - 4 * DAY, NOON)
    ends = [Period(NOON - 4 * DAY, tally.midnight(date(2026, 3, 2))), Period(tally.midnight(NOON.date()), NOON)]
    assert covered(period, NOON.date()) == (3, ends)
    assert covered(period, NOON.date(), date(2026, 3, 3), date(2026, 1, 1)) == (
        2,
        [ends[0], Period(third, fourth), ends[1]],
    )
    assert covered(period, date(2026, 3, 2)) == (1, [ends[0], Period(third, NOON)])
    assert covered(period, None) == covered(period, date(2026, 1, 1)) == (0, [period])


def test_a_period_within_a_day_is_counted_and_an_empty_one_is_nothing() -> None:
    assert covered(Period(NOON, NOON + DAY / 3), date(2027, 1, 1)) == (0, [Period(NOON, NOON + DAY / 3)])
    assert tally.summed(kinds.STATES, Period(NOON, NOON)) == []


# How long buyers waited


def test_a_wait_is_told_to_three_in_a_hundred_and_exactly_up_to_a_minute() -> None:
    for seconds in (*range(20_000), 86_400 * 365):
        assert seconds * 31 <= cell(seconds) * 32 and cell(seconds) <= seconds, seconds
    assert [cell(seconds) for seconds in range(65)] == list(range(65)) and sorted(set(CELLS)) == list(CELLS)


def test_no_cell_is_in_two_buckets() -> None:
    for bound in BUCKETS_SECONDS:
        assert cell(bound) <= bound < cell(bound + 1)


def test_of_a_hundred_waits_the_fiftieth_is_the_half() -> None:
    assert percentile([(9, 1), (7, 50), (8, 49)], 50) == 7
    assert percentile([(7, 49), (8, 51)], 50) == 8
    assert percentile([], 50) is None


@pytest.fixture
def others(transactional_db: None) -> Iterator[Any]:
    other = connection.copy()
    yield other
    other.close()


def test_what_is_not_committed_while_days_are_kept_is_told_when_it_is(others: Any) -> None:
    order = OrderFactory(created_at=timezone.now() - timedelta(days=5))
    tallies.keep()
    others.set_autocommit(False)
    with others.cursor() as cursor:
        cursor.execute("UPDATE orders_channelorder SET state = 'expired' WHERE id = %s", [order.pk])
    _execute("INSERT INTO orders_staleday (day) SELECT (now() - interval '5 days')::date")
    tallies.keep()
    others.commit()
    assert StaleDay.objects.exists() and told() == counted()
