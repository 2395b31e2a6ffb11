"""Until when what was paid can be used is told truly: a held payment does not wait for a window to end."""

from __future__ import annotations

from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from orders import story
from orders.models import ChannelOrder, NodeSnapshot
from orders.queries import order_or_raise
from orders.states import InvoiceState
from orders.windows import usable_until
from tests.factories import OrderFactory, SnapshotFactory
from tests.integration.conftest import Api
from tests.integration.staff import browser, page_of, seen, staff
from tests.integration.test_api_order import milliseconds, shown

pytestmark = pytest.mark.django_db

HEIGHT = 800
AT = timezone.now().replace(microsecond=0) - timedelta(minutes=3)
#: The margin and what the point of no return asks for besides.
NEEDED = settings.PUBLISH_MARGIN_BLOCKS + settings.SPARE_BLOCKS


@pytest.fixture(autouse=True)
def node() -> NodeSnapshot:
    return SnapshotFactory(block_height=HEIGHT, at=AT)


def held(state: str = "paid_lightning", *, blocks: int = NEEDED, **more: Any) -> ChannelOrder:
    """Its payment is held for so many blocks from now."""
    given = {"invoice__state": InvoiceState.HELD, "invoice__hold_expires_height": HEIGHT + blocks, **more}
    return order_or_raise(OrderFactory(**{state: True}, **given).pk)


def told(order: ChannelOrder, window: str) -> datetime | None:
    return usable_until(order, getattr(order, window))


def test_the_earlier_of_both_is_told_everywhere(api: Api) -> None:
    """Six blocks are an hour; the window has hours left."""
    order = held(blocks=NEEDED + 5)
    until = AT + timedelta(hours=1)
    words = story.when(until)
    assert order.claim_expires_at is not None and until < order.claim_expires_at
    assert shown(api, order)["claim_expiry"] == milliseconds(until)
    assert story.waits_for(order, timezone.now()) == f"for the buyer to name a node, until {words}"
    out = StringIO()
    call_command("order", str(order.pk), stdout=out)
    page = seen(browser(staff("ada", "view_channelorder")).get(page_of(order)))
    for text in (page, out.getvalue()):
        assert words in text and story.when(order.claim_expires_at) not in text


@pytest.mark.parametrize(
    ("state", "window"),
    [("paid_lightning", "claim_expires_at"), ("uri_set", "open_deadline_at"), ("give_up", "give_up_until")],
)
@pytest.mark.parametrize(("blocks", "minutes"), [(NEEDED, 10), (NEEDED - 1, 0), (NEEDED - 40, 0), (100_000, None)])
def test_a_window_ends_with_what_is_held_or_by_itself(
    state: str, window: str, blocks: int, minutes: int | None
) -> None:
    """Of what lasts too short for an attempt already, nothing is promised."""
    order = held(state, blocks=blocks)
    window_ends_at = getattr(order, window)
    assert told(order, window) == (window_ends_at if minutes is None else AT + timedelta(minutes=minutes))


def test_what_does_not_run_out_has_its_whole_window() -> None:
    for order in (
        held(invoice__state=InvoiceState.SETTLED),
        order_or_raise(OrderFactory(paid_onchain=True).pk),
        held("opening"),  # past the point of no return: what was is told
    ):
        assert told(order, "claim_expires_at") == order.claim_expires_at is not None


def test_where_the_node_was_never_seen_its_window_is_told() -> None:
    NodeSnapshot.objects.all().delete()
    order = held()
    assert told(order, "claim_expires_at") == order.claim_expires_at
