"""How long a channel is promised: blocks in our records, weeks for v1, both for staff."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.test import Client

from orders import queries, story
from orders.models import ChannelOrder, Service
from orders.openings import publishing
from tests.factories import OpeningFactory, OrderFactory, ServiceFactory, SnapshotFactory
from tests.integration.conftest import Api
from tests.integration.staff import page_of
from tests.scripted import ScriptedNode, mined, unmined

NAME = "0014_terms_in_blocks"


# v1


def service_of(api: Api) -> Any:
    return api.get("/node/info").said["services"][0]


@pytest.mark.parametrize(
    ("least", "most", "weeks"), [(1_008, 12_096, (1, 12)), (1_009, 12_095, (2, 11)), (2_016, 13_103, (2, 12))]
)
def test_v1_is_offered_the_whole_weeks_between_the_limits(
    api: Api, least: int, most: int, weeks: tuple[int, int]
) -> None:
    Service.objects.update(min_expiry_blocks=least, max_expiry_blocks=most)
    said = service_of(api)
    assert (said["min_chan_expiry"], said["max_chan_expiry"]) == weeks
    sentence = f"channel_expiry must be from {weeks[0]} to {weeks[1]} weeks."
    assert api.buy(channel_expiry=weeks[1] + 1).said["error"] == sentence
    if weeks[0] > 1:
        assert api.buy(channel_expiry=weeks[0] - 1).said["error"] == sentence
    for expiry in weeks:
        assert api.buy(channel_expiry=expiry).status_code == 200


@pytest.mark.parametrize("weeks", [1, 6, 12])
def test_v1_buys_weeks_and_is_shown_them_again(api: Api, weeks: int) -> None:
    order_id = api.buy(channel_expiry=weeks).said["order_id"]
    assert ChannelOrder.objects.get().channel_expiry_blocks == weeks * 1_008
    assert api.get("/channel/order", {"order_id": order_id}).said["channel_expiry"] == weeks


def test_v1_is_never_shown_more_weeks_than_there_are(api: Api) -> None:
    order = OrderFactory(channel_expiry_blocks=2 * 1_008 - 1)
    assert api.get("/channel/order", {"order_id": str(order.pk)}).said["channel_expiry"] == 1


# The lease


@pytest.mark.django_db(transaction=True)
def test_the_lease_ends_so_many_blocks_after_the_funding_and_moves_with_it() -> None:
    SnapshotFactory()
    order = OrderFactory(opening=True, channel_expiry_blocks=4_032, attempts=False)
    opening, node = OpeningFactory(order=order), ScriptedNode()
    ours, begun_at = opening.transaction.txid, datetime.fromtimestamp(1_700_000_000, UTC)
    for height in (798, 799):
        node.wallet[ours] = mined(ours, confirmations=1, height=height)
        publishing.watch(order.pk, node)  # type: ignore[arg-type]
        seen = queries.order_or_raise(order.pk)
        assert (seen.lease_starts_height, seen.lease_ends_height) == (height, height + 4_032)
        assert (seen.lease_starts_at, seen.lease_ends_at) == (begun_at, begun_at + timedelta(weeks=4))
    node.wallet[ours] = unmined(ours)
    publishing.watch(order.pk, node)  # type: ignore[arg-type]
    seen = queries.order_or_raise(order.pk)
    assert (seen.lease_starts_height, seen.lease_ends_height, seen.lease_ends_at) == (None, None, None)


# Staff


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        (1_008, "1,008 blocks (1 week)"),
        (4_032, "4,032 blocks (4 weeks)"),
        (5_000, "5,000 blocks (about 34 days)"),
    ],
)
def test_staff_read_blocks_and_what_they_are_in_days(blocks: int, words: str) -> None:
    assert story.term(blocks) == words


def test_staff_read_the_same_at_every_place(boss: Client, capsys: pytest.CaptureFixture[str]) -> None:
    SnapshotFactory()
    order = OrderFactory(channel_expiry_blocks=5_000)
    words = story.term(5_000)
    assert words in boss.get(page_of(order)).content.decode()
    assert words in boss.get("/admin/orders/channelorder/").content.decode()
    call_command("order", str(order.pk))
    assert words in capsys.readouterr().out
    page = boss.get("/admin/orders/service/").content.decode()
    assert "1,008–12,096" in page and "500 ppm in 1,008 blocks" in page


# A shop that sold weeks before


def columns(table: str, *names: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(names)} FROM orders_{table} ORDER BY 1")
        return cursor.fetchall()


def migrated(way: str) -> None:
    """The migration is taken back or made again, in the test's own transaction."""
    loader = MigrationLoader(connection)
    before: ProjectState = loader.project_state(import_module(f"orders.migrations.{NAME}").Migration.dependencies)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    migration = loader.get_migration("orders", NAME)
    with connection.schema_editor(atomic=False) as editor:
        getattr(migration, way)(before, editor)


@pytest.mark.django_db
def test_a_shop_that_sold_weeks_has_the_same_terms_and_rates_in_blocks() -> None:
    SnapshotFactory()
    Service.objects.all().delete()
    ServiceFactory(min_expiry_blocks=2_016, max_expiry_blocks=524_160, rate_ppm_per_1008_blocks=700)
    for blocks in (1_008, 6_048, 32_767 * 1_008):
        OrderFactory(channel_expiry_blocks=blocks)
    migrated("unapply")
    assert columns("channelorder", "weeks") == [(1,), (6,), (32_767,)]
    assert columns("service", "min_weeks", "max_weeks", "rate_ppm_per_week") == [(2, 520, 700)]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE orders_channelorder SET weeks = 7 WHERE weeks = 6")
        cursor.execute("UPDATE orders_service SET min_weeks = 3")
    migrated("apply")
    assert sorted(ChannelOrder.objects.values_list("channel_expiry_blocks", flat=True)) == [
        1_008, 7_056, 32_767 * 1_008,
    ]  # fmt: skip
    service = Service.objects.get()
    assert (service.min_expiry_blocks, service.max_expiry_blocks) == (3_024, 524_160)
    assert service.rate_ppm_per_1008_blocks == 700
    with pytest.raises(IntegrityError), transaction.atomic():
        Service.objects.update(min_expiry_blocks=524_161)
    with pytest.raises(IntegrityError), transaction.atomic():
        ChannelOrder.objects.update(channel_expiry_blocks=-1)
