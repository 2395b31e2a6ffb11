"""What peers have answered to dry runs, on a page for staff."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from orders.models import DryRun
from tests.factories import pubkey
from tests.integration.staff import browser, seen, staff

pytestmark = pytest.mark.django_db

PAGE = "/admin/orders/dryrun/"


def said(number: int, **given: Any) -> DryRun:
    """A peer was asked, and has not answered yet."""
    asked = {"capacity_sat": 1_050_000, "push_sat": 50_000, "announced": False, "begun_at": timezone.now()}
    return DryRun.objects.create(**{"node_pubkey": pubkey(number), "pending_chan_id": b"x" * 32, **asked, **given})


def test_each_answer_is_told_and_what_was_not_said_is_no_answer() -> None:
    over = timezone.now()
    for number, given, words in (
        (1, {"accepted": True, "ended_at": over}, "take it"),
        (2, {"accepted": False, "ended_at": over, "reason": "CHANNEL_REJECTED", "detail": "too small"}, "refuse it"),
        (3, {"ended_at": over}, "not said"),
        (4, {}, "asked"),
    ):
        row = said(number, **given)
        page = seen(browser(staff(f"vera{number}", "view_dryrun")).get(f"{PAGE}{row.pk}/change/"))
        assert f"It would: {words}" in page and row.node_pubkey in page and "1,050,000" in page
        assert "Channel: unannounced" in page
        assert ("CHANNEL_REJECTED" in page and "too small" in page) is (number == 2)


def test_a_node_is_found_by_its_key_and_the_last_to_be_asked_stands_first() -> None:
    said(1, begun_at=timezone.now() - timedelta(hours=1))
    said(2)
    client = browser(staff("vera", "view_dryrun"))
    shown = client.get(PAGE).context["cl"].result_list
    assert [row.node_pubkey for row in shown] == [pubkey(2), pubkey(1)]
    found = client.get(PAGE, {"q": pubkey(1)[:20]}).context["cl"].result_list
    assert [row.node_pubkey for row in found] == [pubkey(1)]


def test_what_only_our_node_may_know_is_on_no_page() -> None:
    row = said(1, pending_chan_id=bytes.fromhex("ab" * 32))
    assert "ab" * 8 not in browser(staff("vera", "view_dryrun")).get(f"{PAGE}{row.pk}/change/").content.decode()
