"""Channels whose lease is over: listed, or closed by themselves, and never too many in a day."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from orders import actors, locks, tasks
from orders.locks import Lock
from orders.models import ChannelClosing, ChannelOrder, Service, SwitchName
from orders.operations import closing, expiring, pausing
from tests.closing import ADA, HEIGHT, ClosingNode, sold
from tests.factories import OrderFactory, SnapshotFactory
from tests.site.documented import blocks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def node() -> ClosingNode:
    SnapshotFactory(block_height=HEIGHT)
    return ClosingNode()


def closes() -> None:
    """What is sold is closed when its lease is over."""
    Service.objects.update(after_lease="close")


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("close_expired", *arguments, stdout=out)
    return out.getvalue()


def test_a_service_that_says_nothing_leaves_its_channels_open_and_they_are_told(node: ClosingNode) -> None:
    order = sold(node)
    assert expiring.close_expired(actor=actors.LSP) == []
    [found] = expiring.close_expired(actor=actors.command("root"))
    assert (found.order.pk, found.why_not) == (order.pk, "Its service leaves it open.")
    assert not ChannelClosing.objects.exists()


def test_where_the_service_says_so_those_are_closed_whose_lease_is_over_and_no_others(node: ClosingNode) -> None:
    over, lasts = sold(node), sold(node, weeks_ago=5)
    closes()
    assert tasks.close_expired() == "closing=1 of=1"
    assert [row.order_id for row in ChannelClosing.objects.all()] == [over.pk] != [lasts.pk]
    assert ChannelClosing.objects.get().actor == "lsp"


def test_the_longest_over_come_first_and_never_more_than_so_many_in_a_day(node: ClosingNode, settings: Any) -> None:
    settings.MOST_CLOSES_A_DAY = 2
    orders = [sold(node, weeks_ago=weeks) for weeks in (7, 9, 8)]
    closes()
    for _ in range(3):
        expiring.close_expired(actor=actors.LSP)
    assert set(ChannelClosing.objects.values_list("order_id", flat=True)) == {orders[1].pk, orders[2].pk}
    ChannelClosing.objects.update(created_at=timezone.now() - timedelta(hours=25))
    expiring.close_expired(actor=actors.LSP)
    assert ChannelClosing.objects.count() == 3


def test_control_without_the_limit_all_are_closed_at_once(
    node: ClosingNode, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MOST_CLOSES_A_DAY = 2
    for weeks in (7, 8, 9):
        sold(node, weeks_ago=weeks)
    closes()
    monkeypatch.setattr(expiring, "wanted_since", lambda at: -100)
    expiring.close_expired(actor=actors.LSP)
    assert ChannelClosing.objects.count() == 3


def test_what_staff_close_counts_too_and_what_was_taken_back_does_not(node: ClosingNode, settings: Any) -> None:
    settings.MOST_CLOSES_A_DAY = 1
    first = sold(node)
    closes()
    closing.close(first.pk, reason="I want it.", actor=ADA)
    sold(node, weeks_ago=9)
    assert expiring.close_expired(actor=actors.LSP)[0].why_not.startswith("1 are closed")
    closing.withdraw(first.pk, actor=ADA)
    assert expiring.close_expired(actor=actors.LSP)[0].why_not == ""


def test_paused_nothing_is_wanted(node: ClosingNode) -> None:
    sold(node)
    closes()
    pausing.pause(SwitchName.CLOSINGS, reason="fees", actor=ADA)
    assert expiring.close_expired(actor=actors.LSP)[0].why_not == "Closings are paused: fees"
    assert not ChannelClosing.objects.exists()


def test_beside_itself_it_only_looks(node: ClosingNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that count at once would close twice as many."""
    sold(node)
    closes()

    @contextmanager
    def elsewhere(key: int) -> Iterator[bool]:
        assert key == Lock.CLOSINGS
        yield False

    monkeypatch.setattr(locks, "only_one", elsewhere)
    expiring.close_expired(actor=actors.LSP)
    assert not ChannelClosing.objects.exists()


def test_a_dry_run_changes_nothing_and_tells_what_would_be(node: ClosingNode) -> None:
    order = sold(node)
    closes()
    facts = json.loads(said("--dry-run", "--json"))
    assert (facts["order"], facts["then"], facts["why_not"]) == (str(order.pk), "would be closed", "")
    assert not ChannelClosing.objects.exists()
    assert "would be closed" in said("--dry-run")
    assert "to be closed" in said()
    assert ChannelClosing.objects.get().actor.startswith("command:")
    assert "is to be closed already" in said("--dry-run")


def test_the_list_tells_other_programs_which_channels_are_ours(node: ClosingNode) -> None:
    assert said("--list") == "no channel is open\n" and said() == "no lease is over\n"
    order = sold(node, weeks_ago=1, most_routing_base_msat=1000, most_routing_ppm=200)
    facts = json.loads(said("--list", "--json"))
    assert facts["outpoint"] == order.openings.get().funding_outpoint
    assert (facts["channel"], facts["node"]) == ("801x1x0", order.node_pubkey)
    assert (facts["most_routing_base_msat"], facts["most_routing_ppm"]) == (1000, 200)
    assert "1000 msat + 200 ppm" in said("--list")


def test_the_admin_lists_those_that_end_and_those_that_have_ended(node: ClosingNode, boss: Client) -> None:
    over, soon = sold(node), sold(node, weeks_ago=5)
    OrderFactory(open=True)  # has weeks to go
    ChannelOrder.objects.filter(pk=soon.pk).update(lease_ends_height=HEIGHT + 900)

    def listed(lease: str) -> list[str]:
        page = boss.get("/admin/orders/channelorder/", {"lease": lease})
        return [str(order.pk) for order in page.context["cl"].result_list]

    assert (listed("ended"), listed("ending")) == ([str(over.pk)], [str(soon.pk)])


def test_the_command_names_its_columns_and_says_nothing_of_what_is_not_known(node: ClosingNode) -> None:
    order = sold(node)
    OrderFactory(open=True, lease_ends_at=None, lease_ends_height=None)
    heads, *lines = said("--list").splitlines()
    assert heads.split() == ["order", "channel", "lease", "ends", "(UTC)", "block", "promise"]
    known = next(line for line in lines if line.startswith(str(order.pk)))
    assert known.index(f"{order.lease_ends_at:%Y-%m-%d %H:%M}") == heads.index("lease ends")
    assert len(lines) == 2 and "None" not in "".join(lines)
    assert said("--dry-run").splitlines()[0].split()[-1] == "then"


def test_the_commands_of_the_page_are_run_as_they_stand(node: ClosingNode) -> None:
    order = sold(node)
    closes()
    lines = "".join(block.text for block in blocks("docs/operating.md", "Leases and closing", "sh")).splitlines()
    names = [shlex.split(line)[2] for line in lines]
    look, done, listed = [said(*shlex.split(line)[3:]) for line in lines]
    assert set(names) == {"close_expired"}
    assert "would be closed" in look and "to be closed" in done and json.loads(listed)["order"] == str(order.pk)
    assert ChannelClosing.objects.count() == 1
    call_command("close_expired", "--dry-run")
