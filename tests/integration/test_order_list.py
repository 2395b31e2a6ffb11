"""The list of orders, in the admin and by `manage.py orders`: the same filters find the same orders."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from orders import keys
from orders.causes import FlagKind
from orders.figures.asking import REASONS
from orders.filtering import FILTERS
from orders.management.commands import orders as command
from orders.models import ChannelOrder
from orders.models.order import Door
from tests.factories import FlagFactory, OrderFactory, ServiceFactory
from tests.integration.staff import every_kind, listed
from tests.integration.test_commands import fails, run

pytestmark = pytest.mark.django_db


def told(*arguments: str) -> set[str]:
    """The ids that the command tells."""
    return {json.loads(line)["id"] for line in run("orders", "--json", *arguments).splitlines()}


@pytest.fixture
def shop() -> list[ChannelOrder]:
    """Orders that differ in all that can be asked."""
    orders = every_kind()
    other = ServiceFactory(description="Another offer", position=5)
    orders += [OrderFactory(open=True, service=other), OrderFactory(paid_onchain=True, service=other)]
    orders += [OrderFactory(**{surprise: True}) for surprise in ("paid_late", "underpaid", "overpaid")]
    orders += [OrderFactory(open=True, door=door) for door in Door]
    flagged = OrderFactory(open=True)
    for kind in FlagKind:
        FlagFactory(kind=kind, order=flagged if kind.value < "m" else OrderFactory(open=True))
    FlagFactory(kind=FlagKind.PAID_LATE, lowered_at=timezone.now(), lowered_by="staff:ada")
    for reason in REASONS:
        orders.append(OrderFactory(uri_set=True, failed_openings=2, last_failure_reason=reason))
    for days in (-3, 3, 30):
        ends = {"lease_ends_at": timezone.now() + timedelta(days=days), "lease_ends_height": 0 if days < 0 else 10**6}
        orders += [OrderFactory(open=True, **ends), OrderFactory(closed=True, **ends)]
    return orders


def test_admin_and_command_find_the_same_orders_by_each_answer(boss: Client, shop: list[ChannelOrder]) -> None:
    everything = {str(pk) for pk in ChannelOrder.objects.values_list("pk", flat=True)}
    for name, question in FILTERS.items():
        found = []
        for value, _ in question.choices():
            by_command = told(f"--{name}", value)
            assert by_command == listed(boss, **{question.asks: value}), (name, value)
            assert by_command and by_command < everything, f"{name} {value}: nothing is left out, or all"
            found.append(frozenset(by_command))
        assert name == "flag" or len(set(found)) == len(found), f"{name}: two answers mean the same"


def test_a_flag_that_stands_nowhere_is_not_offered_and_finds_nothing_where_it_is_asked(boss: Client) -> None:
    FlagFactory(kind=FlagKind.UNMINED)
    page = boss.get("/admin/orders/channelorder/").content.decode()
    assert "?flag=unmined" in page and "?flag=double_spent" not in page
    assert listed(boss, flag="double_spent") == told("--flag", "double_spent") == set()


def test_every_filter_of_the_admin_is_one_of_the_commands(boss: Client) -> None:
    shown = boss.get("/admin/orders/channelorder/").context["cl"].list_filter
    assert [each for each in shown if isinstance(each, str)] == ["created_at"]
    asked = {each.parameter_name for each in shown if not isinstance(each, str)}
    assert asked == {each.asks for each in FILTERS.values()}


def test_both_find_the_same_by_day_and_by_what_one_has_in_hand(boss: Client) -> None:
    now = timezone.now()
    old, new = OrderFactory(created_at=now - timedelta(days=9)), OrderFactory(open=True)
    day = f"{now - timedelta(days=2):%Y-%m-%d}"
    after, before = {"created_at__gte": f"{day} 00:00:00+00:00"}, {"created_at__lt": f"{day} 00:00:00+00:00"}
    assert told("--from", day) == listed(boss, **after) == {str(new.pk)}
    assert told("--to", day) == listed(boss, **before) == {str(old.pk)}
    for text in (str(new.pk)[:8], new.node_pubkey, keys.reference(new.pk), new.deposit_address):
        assert told("--search", text) == listed(boss, q=text) == {str(new.pk)}, text
    assert told("--search", "ff" * 32) == set()


def test_several_filters_mean_all_of_them(shop: list[ChannelOrder]) -> None:
    both = told("--rail", "onchain", "--state", "paid")
    assert both == told("--rail", "onchain") & told("--state", "paid") and both


def test_what_is_no_answer_filters_nothing_in_the_admin(boss: Client, shop: list[ChannelOrder]) -> None:
    assert len(listed(boss, lease="never")) == ChannelOrder.objects.count()


def test_a_table_for_people_ends_with_the_sum() -> None:
    order = OrderFactory(uri_set=True, paid_late=True)
    head, row, last = run("orders").splitlines()
    assert head.startswith("order") and str(order.pk) in row
    for shown in ("Claimed", "1,050,000", "58,120", "Lightning", order.node_pubkey[:12], "paid late"):
        assert shown in row, shown
    assert last == "1 order, channels of 1,050,000 sat"


def test_a_machine_reads_what_a_channel_is_known_by() -> None:
    order = OrderFactory(open=True)
    [line] = run("orders", "--json").splitlines()
    said = json.loads(line)
    opening = order.openings.get()
    assert (said["funding_outpoint"], said["short_channel_id"]) == (opening.funding_outpoint, "801x1x0")
    assert (said["reference"], said["state"], said["rail"]) == (keys.reference(order.pk), "open", "lightning")
    assert (said["order_total_sat"], said["flags"], said["closed_at"]) == (58_120, [], None)


def test_an_attempt_that_failed_is_nobodys_channel() -> None:
    OrderFactory(give_up=True)
    assert json.loads(run("orders", "--json"))["funding_outpoint"] is None


def test_the_newest_come_first_and_no_more_than_were_asked_for() -> None:
    now = timezone.now()
    orders = [OrderFactory(created_at=now - timedelta(hours=hours)) for hours in (3, 1, 2)]
    lines = run("orders", "--json", "--limit", "2").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [str(orders[1].pk), str(orders[2].pk)]


def test_the_database_is_asked_as_often_for_many_orders_as_for_few(django_assert_max_num_queries: Any) -> None:
    OrderFactory(open=True, flagged=True)
    with django_assert_max_num_queries(5) as few:
        run("orders")
    for _ in range(6):
        OrderFactory(open=True, flagged=True)
    with django_assert_max_num_queries(len(few.captured_queries) + 1):  # the line of the trail
        run("orders", "--json")


def test_no_more_is_in_memory_than_the_part_that_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_AT_ONCE", 2)
    for _ in range(5):
        OrderFactory()
    read: list[int] = []
    fetched = ChannelOrder.from_db.__func__  # type: ignore[attr-defined]

    def counted(cls: Any, *args: Any, **kwargs: Any) -> Any:
        read.append(1)
        return fetched(cls, *args, **kwargs)

    monkeypatch.setattr(ChannelOrder, "from_db", classmethod(counted))
    lines = command._as_lines(command.chosen(dict.fromkeys([*FILTERS, "since", "until", "limit"]) | {"search": ""}))
    next(lines)
    assert sum(read) == 2
    assert len(list(lines)) == 4 and sum(read) == 5


@pytest.mark.parametrize("given", [("--state", "happy"), ("--flag", "x"), ("--limit", "0"), ("--from", "soon")])
def test_what_means_nothing_is_said_and_ends_with_2(given: tuple[str, str]) -> None:
    with pytest.raises(CommandError) as raised:
        call_command("orders", *given)
    assert (given[0] == "--limit" and raised.value.returncode == 2) or given[0] in str(raised.value)


def test_a_service_is_named_as_it_is_called() -> None:
    first, second = ServiceFactory(description="Small"), ServiceFactory(description="Large")
    order = OrderFactory(service=first)
    OrderFactory(service=second)
    assert told("--service", "small") == told("--service", str(first.pk)[:8]) == {str(order.pk)}
    assert fails("orders", "--service", "medium")[1:] == ("'medium' names no service.", 1)
