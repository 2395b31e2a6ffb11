"""Before a new order's first attempt LND is not made to read all that it has: what was begun shows otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from lightning.types import Outpoint, PendingChannel
from lsp_site.declared import VARIABLES
from orders import actors, queries, recovering
from orders.models import ChannelOrder
from orders.openings import tracing
from orders.states import OpeningState, OrderState
from tests.factories import OpeningFactory
from tests.integration.test_large_nodes import POINT, WHOLE, claimed, found_behind, lease_of, node, usable_with_another
from tests.scripted import ScriptedNode, pending, unmined

__all__ = ["node"]

pytestmark = pytest.mark.django_db(transaction=True)

#: For the channels that are under way LND reads all others, too.
LONG = WHOLE | {"pending_channels"}


def trace(order: ChannelOrder, node: ScriptedNode) -> tracing.Trace | None:
    return tracing.find_trace(order, node, quickly=True)  # type: ignore[arg-type]


def older(order: ChannelOrder) -> ChannelOrder:
    """As old as the shortest lease is long."""
    at = timezone.now() - tracing._SHORTEST_LEASE
    ChannelOrder.objects.filter(pk=order.pk).update(created_at=at)
    return queries.order_or_raise(order.pk)


def being_opened(node: ScriptedNode, order: ChannelOrder) -> PendingChannel:
    """A channel that its peer has signed, and whose funding nobody has published."""
    lost = pending(POINT, order)
    node.pending = [lost]
    return lost


@pytest.mark.parametrize("confirmations", [0, 1])
def test_of_a_new_order_no_long_list_is_asked_for(node: ScriptedNode, confirmations: int) -> None:
    order = claimed(node, required_channel_confirmations=confirmations)
    assert trace(order, node) is None
    assert not LONG & set(node.calls) and "channels_with" in node.calls
    assert node.calls.index("leases") < node.calls.index("transactions")  # the leases are over once it is mined


def test_but_by_who_would_give_its_money_back(node: ScriptedNode) -> None:
    order = claimed(node)
    being_opened(node, order)
    assert tracing.find_trace(order, node) is not None  # type: ignore[arg-type]


def test_a_channel_that_is_being_opened_shows_by_its_coins(node: ScriptedNode) -> None:
    order = claimed(node)
    lost = being_opened(node, order)
    assert trace(order, node) is None  # the control: nothing says that there is one
    node.leased = [lease_of(order)]
    found = trace(order, node)
    assert found is not None and found.channel == lost


def test_so_does_one_that_is_usable_before_it_is_published_whoever_it_is_with(node: ScriptedNode) -> None:
    order = claimed(node, required_channel_confirmations=0)
    lost = usable_with_another(node, order)
    assert trace(order, node) is None  # the control
    node.leased = [lease_of(order)]
    found = trace(order, node)
    assert found is not None and found.channel == lost


@pytest.mark.parametrize("why", ["older", "behind", "tried"])
def test_it_is_looked_for_where_its_coins_may_be_free_again(node: ScriptedNode, why: str) -> None:
    order = claimed(node)
    lost = being_opened(node, order)
    if why == "older":
        order = older(order)
    elif why == "behind":
        found_behind()
    else:
        OpeningFactory(order=order, state=OpeningState.FAILED, node_pubkey=order.node_pubkey, transaction=None)
        order = queries.order_or_raise(order.pk)
    found = trace(order, node)
    assert found is not None and found.channel == lost


def test_recover_adopts_what_nothing_shows_since_it_has_seen_it(node: ScriptedNode) -> None:
    """Somebody may have made the channel by hand, or freed its coins."""
    order: Any = claimed(node)
    being_opened(node, order)
    node.wallet[POINT.txid] = unmined(POINT.txid)
    recovering.adopt(recovering.survey(node), node, actor=actors.command("bob"))  # type: ignore[arg-type]
    assert queries.order_or_raise(order.pk).state == OrderState.OPENING
    assert Outpoint.parse(order.openings.get().funding_outpoint) == POINT


def test_no_lease_may_ever_be_shorter_than_we_rely_upon() -> None:
    parse, least = VARIABLES["FUNDING_LEASE_SECONDS"].parse, int(tracing._SHORTEST_LEASE.total_seconds())
    assert parse(str(least)) == least
    with pytest.raises(ValueError, match=f"from {least} to"):
        parse(str(least - 1))
