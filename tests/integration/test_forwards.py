"""The node's forwarding history is read once: whatever happens meanwhile, each forward counts, and counts once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db.models import F, Sum
from django.utils import timezone

from lightning.errors import NodeUnavailable
from lightning.types import Forward
from orders.models import Forward as Row
from orders.models import ForwardDay, NodeSnapshot
from orders.rollups import forwards, keeping
from tests.fakes import FakeNode

pytestmark = pytest.mark.django_db

SECOND = 10**9
NOON = 1_760_000_400 * SECOND
NOW = datetime(2025, 10, 9, 18, tzinfo=UTC)
A, B, C = (block << 40 | 2 << 16 | 1 for block in (800_000, 800_001, 800_002))


def passed(at_ns: int, *, fee: int = 10, out: int = 1_000_000, htlc: int | None = None, to: int = B) -> Forward:
    return Forward(at_ns, A, to, out + fee, out, htlc, htlc)


@pytest.fixture
def lnd(snapshot: NodeSnapshot) -> FakeNode:
    return FakeNode()


def read(lnd: FakeNode, now: datetime = NOW) -> int:
    return forwards.read(lnd, now)[0]  # type: ignore[arg-type]


def told() -> tuple[int, int]:
    """How many forwards the days have, and what they have earned (msat)."""
    sums = ForwardDay.objects.aggregate(count=Sum("forwards"), fees=Sum(F("in_msat") - F("out_msat")))
    return sums["count"] or 0, sums["fees"] or 0


def wanted(history: Iterable[Forward]) -> tuple[int, int]:
    found = list(history)
    return len(found), sum(each.in_msat - each.out_msat for each in found)


def test_what_was_read_is_not_counted_again_and_what_came_since_is(lnd: FakeNode) -> None:
    lnd.history = [passed(NOON + n, htlc=n) for n in range(5)]
    assert (read(lnd), read(lnd)) == (5, 0)
    lnd.history.append(passed(NOON + 7 * SECOND, htlc=7))
    assert read(lnd) == 1
    assert told() == wanted(lnd.history) == (6, 60)


def test_forwards_of_the_same_nanosecond_are_neither_lost_nor_doubled(lnd: FakeNode) -> None:
    """Some that differ, some alike in all that the node says."""
    alike = passed(NOON, htlc=None)
    lnd.history = [alike, alike, alike, passed(NOON, fee=3), passed(NOON, htlc=4), passed(NOON, to=C)]
    assert (read(lnd), read(lnd)) == (6, 0)
    assert told() == wanted(lnd.history)


@pytest.mark.parametrize("page", [1, 2, 3, 4, 7])
def test_pages_that_end_anywhere_lose_and_double_nothing(
    lnd: FakeNode, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the midst of a second, and of such as are alike in all."""
    monkeypatch.setattr(forwards, "PAGE", page)
    seconds = [0, 0, 0, 0, 0, 1, 2, 2, 2, 5, 5, 5, 5, 5, 5, 5, 9]
    lnd.history = [passed(NOON + second * SECOND, htlc=None) for second in seconds]
    while read(lnd):
        pass
    assert told() == wanted(lnd.history)


def test_a_look_reads_no_more_than_so_many_pages_and_the_next_goes_on(
    lnd: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwards, "PAGE", 10)
    monkeypatch.setattr(forwards, "MOST_PAGES", 3)
    lnd.history = [passed(NOON + n * 7_200 * SECOND, htlc=n) for n in range(100)]
    looks = 0
    while not forwards.read(lnd, NOW + timedelta(days=30))[1]:  # type: ignore[arg-type]
        looks += 1
        assert len([call for call in lnd.calls if call == "forwards"]) <= 3
        lnd.calls.clear()
    assert looks >= 3 and told() == wanted(lnd.history)


def test_a_look_that_dies_in_the_midst_is_gone_on_with(lnd: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwards, "PAGE", 4)
    lnd.history = [passed(NOON + n * SECOND, htlc=n) for n in range(20)]
    lnd.on_call = lambda name: _die(lnd) if name == "forwards" else None
    with pytest.raises(NodeUnavailable):
        read(lnd)
    assert 0 < told()[0] < 20
    lnd.on_call = lambda name: None
    read(lnd)
    assert told() == wanted(lnd.history)


def _die(lnd: FakeNode) -> None:
    if lnd.calls.count("forwards") > 2:
        raise NodeUnavailable("gone")


def test_what_lnd_writes_down_late_is_read_too(lnd: FakeNode) -> None:
    """Its forwards are written a few seconds after they were settled, and a clock is put back by minutes."""
    lnd.history = [passed(NOON + 900 * SECOND, htlc=9)]
    read(lnd)
    lnd.history.insert(0, passed(NOON, htlc=1))
    assert read(lnd) == 1
    assert told() == wanted(lnd.history)


def test_a_clock_that_was_ahead_hides_nothing_that_comes_then(lnd: FakeNode) -> None:
    ahead = int((NOW + timedelta(days=400)).timestamp()) * SECOND
    lnd.history = [passed(ahead, htlc=1)]
    read(lnd)
    lnd.history.insert(0, passed(int(NOW.timestamp()) * SECOND, htlc=2))
    assert read(lnd) == 1


def test_a_node_that_forgets_the_oldest_between_two_pages_hides_no_other(
    lnd: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LND can be told to delete what is old: places in its history move then."""
    monkeypatch.setattr(forwards, "PAGE", 5)
    everything = [passed(NOON + n * SECOND, htlc=n) for n in range(40)]
    lnd.history = list(everything)
    lnd.on_call = lambda name: lnd.history.__delitem__(slice(0, 2)) if name == "forwards" else None
    read(lnd)
    kept = set(Row.objects.values_list("at_ns", flat=True))
    assert {each.at_ns for each in everything[2:]} <= kept


def test_what_is_kept_by_day_alone_is_not_read_again(lnd: FakeNode, settings: object) -> None:
    """The rows that say what was read are gone by then, so nothing else would keep it from counting twice."""
    old = [passed(NOON + n * SECOND, htlc=n) for n in range(6)]
    lnd.history = list(old)
    read(lnd)
    later = NOW + timedelta(days=200)
    keeping.forget(later, with_forwards=True)
    assert not Row.objects.exists()
    assert read(lnd, later) == 0
    lnd.history.append(passed(int(later.timestamp()) * SECOND, htlc=77))
    assert read(lnd, later) == 1
    assert told() == wanted(lnd.history)


def test_a_history_that_is_not_read_to_its_end_is_not_cut_off(lnd: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop that upgrades after years: the first look reads a part, and what is old goes only when all was read."""
    monkeypatch.setattr(forwards, "PAGE", 3)
    monkeypatch.setattr(forwards, "MOST_PAGES", 2)
    now = timezone.now()
    begun = int((now - timedelta(days=300)).timestamp()) * SECOND
    lnd.history = [passed(begun + n * 86_400 * SECOND, htlc=n) for n in range(50)]
    for _ in range(40):
        keeping.keep(lnd, now)  # type: ignore[arg-type]
    assert told() == wanted(lnd.history)
    assert not Row.objects.exists(), "all of it is older than what is kept one by one"


def test_each_goes_to_its_day_and_channels(lnd: FakeNode) -> None:
    midnight = int(datetime(2025, 10, 10, tzinfo=UTC).timestamp()) * SECOND
    lnd.history = [passed(midnight - 1, fee=5, htlc=1), passed(midnight, fee=7, htlc=2), passed(midnight, to=C, htlc=3)]
    read(lnd)
    rows = ForwardDay.objects.values_list("day", "channel_in", "channel_out", "forwards", "in_msat", "out_msat")
    assert set(rows) == {
        (date(2025, 10, 9), "800000x2x1", "800001x2x1", 1, 1_000_005, 1_000_000),
        (date(2025, 10, 10), "800000x2x1", "800001x2x1", 1, 1_000_007, 1_000_000),
        (date(2025, 10, 10), "800000x2x1", "800002x2x1", 1, 1_000_010, 1_000_000),
    }


def test_a_forward_for_less_than_nothing_costs_what_it_costs(lnd: FakeNode) -> None:
    """With an inbound discount LND could pass on more than came; the fee is what the amounts say."""
    lnd.history = [replace(passed(NOON, htlc=1), in_msat=999_000)]
    read(lnd)
    assert told() == (1, -1_000)


def test_while_the_node_was_never_seen_nothing_is_read(db: None) -> None:
    assert forwards.read(FakeNode(), NOW) == (0, False)  # type: ignore[arg-type]
