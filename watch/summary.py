"""The day in a few lines, told once a day to whoever gets the alerts: what was sold, and what needs a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from orders import figures, locks
from orders.figures import Period
from orders.locks import Lock
from orders.models import Alert, AlertRules, BooksCheck
from watch import channels


def send_summary() -> int:
    """Whoever wants it has the summary of yesterday, at the hour of the rules. Returns how many were sent: 0 or 1.

    Repeat: safe, also at once by two workers: the day is taken before it is told of. One that reaches nobody is tried
    again; one that is lost with its process between both is not.
    """
    rules, now = AlertRules.objects.first(), timezone.now()
    if not settings.ALERT_URL or rules is None or not is_due(rules, now):
        return 0
    with locks.only_one(Lock.SUMMARY) as obtained:
        today = _today(rules, now)
        before = rules.summed_up
        if not obtained or not _take(today):
            return 0
        if channels.send(list(lines(now)), title=f"the day of {_yesterday(now)}"):
            return 1
        AlertRules.objects.filter(summed_up=today).update(summed_up=before)
        return 0


def is_due(rules: AlertRules, now: datetime) -> bool:
    """It is past the hour, by the clock of the rules, and nobody was told today."""
    if rules.summary_at is None or (rules.summed_up is not None and rules.summed_up >= _today(rules, now)):
        return False
    return now.astimezone(ZoneInfo(rules.zone)).time() >= rules.summary_at


def _today(rules: AlertRules, now: datetime) -> date:
    return now.astimezone(ZoneInfo(rules.zone)).date()


def _yesterday(now: datetime) -> date:
    """The last whole day as the figures count them: in UTC."""
    return now.astimezone(UTC).date() - timedelta(days=1)


def _take(today: date) -> bool:
    free = AlertRules.objects.filter(Q(summed_up=None) | Q(summed_up__lt=today))
    return bool(free.update(summed_up=today))


def lines(now: datetime) -> Iterator[str]:
    """All of it, for people. No order is named."""
    begins = datetime.combine(_yesterday(now), time(), UTC)
    yield from _sold(Period(begins, begins + timedelta(days=1)), now)
    needs = list(_needs(now))
    yield "Needs you now:" if needs else "Nothing needs you."
    yield from (f"- {need}" for need in needs)


def _sold(period: Period, now: datetime) -> Iterator[str]:
    days = figures.by_day(period)
    paid, opened = sum(day.paid for day in days), sum(day.opened for day in days)
    yield f"Paid: {paid:,} orders, {sum(day.paid_sat for day in days):,} sat."
    size_sat, fees_sat = sum(day.opened_sat for day in days), sum(day.fees_sat for day in days)
    yield f"Opened: {opened:,} channels, {size_sat:,} sat, for {fees_sat:,} sat in fees."
    yield f"Profit: {figures.earnings(period, now, limit=0).total.profit_msat // 1000:,} sat."


def _needs(now: datetime) -> Iterator[str]:
    for flagged in figures.flags():
        yield f"{flagged.flags:,} × {flagged.kind.label}"
    for check in Alert.objects.filter(cleared_at=None, key__startswith="check:"):
        yield check.message.partition("\n")[0][:200]
    yield from (f"{name} paused" for name in figures.paused())
    books = BooksCheck.objects.first()
    if books is not None and not books.adds_up:
        yield "the books do not add up"
    yield from (f"{beat.name} is silent" for beat in figures.heartbeats(now) if beat.is_stale)
