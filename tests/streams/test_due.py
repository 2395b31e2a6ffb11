"""The clock, the pauses and what they hold back."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from orders.outage import Outage
from streams.due import HELD_BACK_SECONDS, POLL_SECONDS, Due
from streams.hints import PeersSeen

A, B = uuid4(), uuid4()
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_an_order_that_stays_due_is_not_handed_out_again_at_once() -> None:
    due = Due()
    assert due.fresh([A], 10.0) == [A]
    assert due.fresh([A, B], 10.1) == [B]
    assert due.fresh([A, B], 10.1 + HELD_BACK_SECONDS) == [A, B]


def test_the_clock_is_looked_at_when_the_next_order_becomes_due() -> None:
    assert Due().wait_seconds(NOON + timedelta(seconds=2), NOON) == 2.0
    assert Due().wait_seconds(NOON - timedelta(seconds=2), NOON) == 0.0


def test_the_clock_is_looked_at_now_and_then_although_nothing_is_known_to_become_due() -> None:
    assert Due().wait_seconds(None, NOON) == POLL_SECONDS
    assert Due().wait_seconds(NOON + timedelta(days=1), NOON) == POLL_SECONDS


def test_what_was_handed_out_is_looked_for_soon_again() -> None:
    due = Due()
    due.fresh([A], 10.0)
    assert due.wait_seconds(None, NOON) == HELD_BACK_SECONDS


def test_pauses_double_up_to_fifteen_seconds_and_start_anew_once_all_is_well() -> None:
    outage = Outage(logging.getLogger("test"), "the node")
    assert [outage.pause_seconds() for _ in range(6)] == [1, 2, 4, 8, 15, 15]
    outage.over()
    assert outage.pause_seconds() == 1


def test_an_outage_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage(logging.getLogger("test"), "the node")
    for _ in range(5):
        outage.begun(ConnectionError("refused"))
    assert caplog.messages == ["the node cannot be used, trying again until it can: refused"]
    outage.over()
    outage.begun(ConnectionError("refused anew"))
    assert len(caplog.messages) == 2


def test_a_peer_that_comes_and_goes_counts_once_in_a_while() -> None:
    peers = PeersSeen(pause_seconds=60)
    assert [peers.counts("02aa", now=at) for at in (0.0, 1.0, 59.0, 60.0, 61.0)] == [True, False, False, True, False]
    assert peers.counts("02bb", now=1.0)
