"""Where the first server of this API forgot or overwrote what it knew: the same situations, and nothing of it.

Each test is named by the fault's number in docs/conformance.md. Faults that need a node are in tests/simulator.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from lightning.types import NodeAddress
from orders import actors, flags
from orders.advance import advance
from orders.causes import FlagKind
from orders.models import ChannelOpening, ChannelOrder, NodeSnapshot, Service, SwitchName
from orders.openings import opening, terms
from orders.operations import claiming, expiring, pausing
from tests.closing import HEIGHT, ClosingNode, look, sold
from tests.factories import OpeningFactory, OrderFactory, SnapshotFactory, pubkey
from tests.integration.conftest import Api
from tests.scripted import ScriptedNode, held


@pytest.mark.django_db(transaction=True)
def test_d11_a_look_writes_nothing_back_over_what_happened_meanwhile() -> None:
    """A claim and a flag come in the midst of a look that has read the order before."""
    order = OrderFactory(paid_lightning=True, due_at=timezone.now())
    node = ScriptedNode()
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    meanwhile: list[Any] = [
        lambda: claiming.claim(order.pk, NodeAddress(pubkey(5)), announced=False, actor=actors.BUYER),
        lambda: flags.flag(order.pk, FlagKind.OTHER, "Somebody wants to look at this."),
    ]

    def happens(name: str) -> None:
        if name == "info" and meanwhile:  # in the midst of the look at the payment
            while meanwhile:
                meanwhile.pop()()

    node.on_call = happens
    SnapshotFactory()
    advance(order.pk, node=node)  # type: ignore[arg-type]
    order.refresh_from_db()
    assert meanwhile == []
    assert (order.state, order.node_pubkey, order.announced_by_claim) == ("uri_set", pubkey(5), False)
    assert [flag.words for flag in order.standing] == ["Somebody wants to look at this."]
    assert [event.version for event in order.events.order_by("version")] == list(range(3, order.version + 1))


def test_d12_what_costs_next_to_nothing_can_be_bought(api: Api) -> None:
    """The first server took a price of 0 for no price."""
    Service.objects.update(base_fee_sat=0, rate_ppm_per_1008_blocks=0, minimum_fee_sat=1)
    NodeSnapshot.objects.update(estimate_sat_per_kw=0, minimum_sat_per_kw=0)
    answer = api.buy(remote_balance=0)
    assert answer.status_code == 200
    assert (answer.said["price"], answer.said["total_amount"]) == (1, 1)


def test_d13_closing_many_channels_can_be_stopped_between_any_two(transactional_db: None, settings: Any) -> None:
    """The first server looked at a property that nobody ever set."""
    SnapshotFactory(block_height=HEIGHT)
    node, settings.MOST_CLOSES_A_DAY = ClosingNode(), 100
    orders = [sold(node) for _ in range(5)]
    Service.objects.update(after_lease="close")
    expiring.close_expired(actor=actors.LSP)

    def stops_after_two(name: str) -> None:
        if name == "close_channel" and len(node.asked) == 1:  # the second is being asked
            pausing.pause(SwitchName.CLOSINGS, reason="stop", actor=actors.staff("ada"))

    node.on_call = stops_after_two
    for order in orders:
        look(order, node)
    assert len(node.asked) == 2
    assert [row.why_not for row in expiring.close_expired(actor=actors.LSP)] == ["It is to be closed already."] * 3
    pausing.resume(SwitchName.CLOSINGS, actor=actors.staff("ada"))
    for order in orders:
        look(order, node)
    assert len(node.asked) == 5


def test_d15_the_limit_on_openings_counts_those_of_every_earlier_pass(db: None, settings: Any) -> None:
    settings.PARALLEL_OPENINGS = 2
    for _ in range(2):
        OpeningFactory(order=OrderFactory(uri_set=True), negotiating=True)
    waiting = OrderFactory(uri_set=True)
    wanted = terms.of(waiting)
    for _ in range(3):  # each with nothing but the database to know the others by
        assert opening._intend(waiting.pk, wanted) is None
    assert ChannelOrder.objects.get(pk=waiting.pk).last_failure_reason == "LSP_BUSY"
    ChannelOpening.objects.filter(order__in=ChannelOrder.objects.exclude(pk=waiting.pk)).update(state="failed")
    assert opening._intend(waiting.pk, wanted) is not None
