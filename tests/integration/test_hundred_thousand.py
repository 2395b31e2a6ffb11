"""What staff look at costs the database as many statements for a hundred thousand orders as for a thousand."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client

from orders.admin import counting
from orders.models import ChannelOrder, NodeSnapshot
from tests.bench import rows
from tests.bench.statements import Statement, noted
from tests.factories import OrderFactory
from tests.fakes import FakeNode
from tests.integration.staff import LIST, page_of
from watch.metrics.collector import Shop

pytestmark = pytest.mark.django_db

EARNINGS = f"{LIST}earnings/?from=2009-01-03&to=2999-12-31"
LISTS = (
    "channelopening",
    "holdinvoice",
    "onchainpayment",
    "wallettransaction",
    "orderevent",
    "flag",
    "entry",
    "refund",
)


def pages(order: ChannelOrder) -> dict[str, int]:
    """Each with the most that it may ask."""
    filtered = ("?state__exact=closed", "?surprise=any", "?lease=ended", "?failing=any", f"?q={order.pk}", "?p=7")
    return {
        "/admin/": 55,
        "/admin/?period=year": 55,
        EARNINGS: 20,
        page_of(order): 40,
        **{f"{LIST}{asked}": 25 for asked in ("", *filtered)},
        **{f"/admin/orders/{name}/": 20 for name in LISTS},
    }


def statements(boss: Client, order: ChannelOrder) -> dict[str, int]:
    """How many each page takes, and what is told to machines."""
    found = {}
    for path in pages(order):
        seen: list[Statement] = []
        with noted(seen):
            assert boss.get(path).status_code == 200, path
        found[path] = len(seen)
    for name, told in (
        ("metrics", lambda: list(Shop().collect())),
        ("figures", lambda: call_command("figures", "--json", stdout=StringIO())),
        ("orders", lambda: call_command("orders", "--limit", "100", stdout=StringIO())),
    ):
        seen = []
        with noted(seen):
            told()
        found[name] = len(seen)
    return found


@pytest.mark.long
def test_whatever_staff_look_at_takes_as_many_statements_as_for_a_thousand(
    boss: Client, node: FakeNode, snapshot: NodeSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "MOST_COUNTED", 100)  # beyond it a list costs one more, for the estimate
    order = OrderFactory(open=True)
    rows.fill(1_000)
    statements(boss, order)  # the first look writes when the session was used last, and who saw what is discreet
    few = statements(boss, order)
    rows.fill(99_000)
    assert ChannelOrder.objects.count() >= 100_000
    assert statements(boss, order) == few
    assert [path for path, most in pages(order).items() if few[path] > most] == []
