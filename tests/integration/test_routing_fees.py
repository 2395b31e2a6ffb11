"""What was promised for forwarding is kept, whoever asks for more at the node."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from lightning import rights
from lightning.errors import LightningError, NodeUnavailable, OutcomeUnknown, Rejected
from lightning.types import Outpoint, RoutingFee
from orders import queries, tasks
from orders.causes import Cause, FlagKind
from orders.models import ChannelOrder, OrderEvent
from orders.operations import fee_keeping
from tests.closing import HEIGHT, ClosingNode, sold
from tests.factories import SnapshotFactory

pytestmark = pytest.mark.django_db(transaction=True)

PROMISE = {"most_routing_base_msat": 1_000, "most_routing_ppm": 200}


class FeeNode(ClosingNode):
    """A node with policies."""

    def __init__(self) -> None:
        super().__init__()
        self.fees: dict[Outpoint, tuple[int, int]] = {}
        self.set: list[tuple[RoutingFee, int]] = []
        self.refuses: LightningError | None = None

    def routing_fees(self) -> tuple[RoutingFee, ...]:
        self._called("routing_fees")
        return tuple(RoutingFee(outpoint, *fee) for outpoint, fee in self.fees.items())

    def cltv_blocks(self, outpoint: Outpoint, *, pubkey: str) -> int:
        self._called("cltv_blocks")
        return 80

    def set_routing_fee(self, fee: RoutingFee, *, cltv_blocks: int) -> None:
        self._called("set_routing_fee")
        if self.refuses is not None:
            raise self.refuses
        self.set.append((fee, cltv_blocks))
        self.fees[fee.outpoint] = (fee.base_msat, fee.ppm)


@pytest.fixture
def node() -> FeeNode:
    rights._known.clear()
    SnapshotFactory(block_height=HEIGHT)
    return FeeNode()


def promised(node: FeeNode, base_msat: int, ppm: int, **more: Any) -> ChannelOrder:
    """A channel with a promise, over which so much is asked."""
    order = sold(node, weeks_ago=1, **{**PROMISE, **more})
    node.fees[Outpoint.parse(order.openings.get().funding_outpoint)] = (base_msat, ppm)
    return order


def keep(node: FeeNode) -> int:
    return fee_keeping.keep(node)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "then"),
    [
        ((1_000, 200), None),
        ((0, 0), None),
        ((1_001, 200), (1_000, 200)),
        ((1_000, 201), (1_000, 200)),
        ((5_000, 50), (1_000, 50)),
        ((0, 9_999), (0, 200)),
    ],
)
def test_what_is_above_the_promise_is_put_back_and_what_is_below_is_left(
    node: FeeNode, asked: tuple[int, int], then: tuple[int, int] | None
) -> None:
    order = promised(node, *asked)
    assert keep(node) == (then is not None)
    assert [(fee.base_msat, fee.ppm, cltv) for fee, cltv in node.set] == ([(*then, 80)] if then else [])
    events = order.events.filter(cause=Cause.ROUTING_FEE_PUT_BACK)
    assert events.count() == (then is not None)
    if then:
        facts = events.get().facts
        assert (facts["asked_base_msat"], facts["asked_ppm"]) == asked
    assert keep(node) == 0


def test_channels_without_a_promise_and_channels_of_others_are_left_alone(node: FeeNode) -> None:
    promised(node, 9_999, 9_999, most_routing_base_msat=None, most_routing_ppm=None)
    node.fees[Outpoint("ab" * 32, 0)] = (9_999, 9_999)
    assert keep(node) == 0 and "routing_fees" not in node.calls  # nothing is promised: nobody is asked
    promised(node, 1_000, 200)
    assert keep(node) == 0 and not node.set


def test_one_call_tells_of_all_channels_and_a_look_puts_back_so_many_at_most(
    node: FeeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fee_keeping, "MOST_AT_ONCE", 3)
    for _ in range(5):
        promised(node, 2_000, 200)
    assert [keep(node), keep(node), keep(node)] == [3, 2, 0]
    assert (node.calls.count("routing_fees"), node.calls.count("cltv_blocks")) == (3, 5)


def test_it_is_on_record_before_it_is_done(node: FeeNode) -> None:
    """Whoever dies in between does it again; nothing is put back that nobody knows of."""
    order = promised(node, 2_000, 200)
    node.refuses = OutcomeUnknown("deadline")
    keep(node)
    assert order.events.filter(cause=Cause.ROUTING_FEE_PUT_BACK).exists()


def causes(order: ChannelOrder) -> list[str]:
    rows = order.events.order_by("version").values_list("cause", flat=True)
    return [cause.removeprefix("routing_fee_") for cause in rows if cause.startswith("routing_fee")]


def flagged(order: ChannelOrder) -> list[str]:
    return [flag.kind for flag in queries.order_or_raise(order.pk).standing]


def later(minutes: int) -> None:
    """So much time has passed."""
    OrderEvent.objects.update(at=F("at") - timedelta(minutes=minutes))


@pytest.mark.parametrize("error", [Rejected("not found", reason="refused"), OutcomeUnknown("deadline")])
def test_what_the_node_refuses_for_long_is_for_a_person_once_until_it_works(
    node: FeeNode, error: LightningError
) -> None:
    order = promised(node, 2_000, 200)
    node.refuses = error
    for _ in range(3):
        keep(node)
        assert not flagged(order)
        later(10)
    for _ in range(3):
        keep(node)
        assert flagged(order) == [FlagKind.ROUTING_FEE_HIGH]
        later(10)
    assert causes(order) == ["put_back", *["refused"] * 6]
    assert order.events.filter(cause=Cause.NEEDS_STAFF).count() == 1
    node.refuses = None
    keep(node)
    later(10)
    keep(node)
    assert not flagged(order) and causes(order)[-1] == "put_back"


def test_what_the_node_refuses_for_a_moment_is_nobodys_trouble(node: FeeNode) -> None:
    """However often that happens: each time it did as it was told at the next look."""
    order = promised(node, 2_000, 200)
    for refuses in (True, True, False, True, True, False):
        node.refuses = Rejected("could not update policies", reason="refused") if refuses else None
        keep(node)
        assert not flagged(order)
        later(10)
        node.fees = dict.fromkeys(node.fees, (2_000, 200))


def test_what_was_refused_hours_ago_says_nothing_of_today(node: FeeNode) -> None:
    order = promised(node, 2_000, 200)
    node.refuses = Rejected("could not update policies", reason="refused")
    for minutes in (10, 10, 300):
        keep(node)
        later(minutes)
    for minutes in (10, 10, 10):
        keep(node)
        later(minutes)
        assert not flagged(order)
    keep(node)
    assert flagged(order)


def test_what_is_raised_again_and_again_is_for_a_person(node: FeeNode) -> None:
    order = promised(node, 2_000, 200)
    for _ in range(3):
        assert keep(node) == 1
        node.fees = dict.fromkeys(node.fees, (2000, 200))
    assert flagged(order) == [FlagKind.ROUTING_FEE_HIGH]
    node.fees = dict.fromkeys(node.fees, (1_000, 200))
    keep(node)
    assert flagged(order)  # it may well be raised again
    later(24 * 60)
    keep(node)
    assert not flagged(order)


def test_without_the_rights_nothing_is_asked(node: FeeNode) -> None:
    node.allows = lambda method: not method.endswith("FeeReport")  # type: ignore[method-assign]
    promised(node, 2_000, 200)
    assert keep(node) == 0 and "routing_fees" not in node.calls


def test_a_node_that_is_away_is_no_defect(node: FeeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    promised(node, 2_000, 200)
    node.fails_at["routing_fees"] = NodeUnavailable("away")
    monkeypatch.setattr(tasks.lightning, "node", lambda: node)
    assert tasks.keep_routing_fees() == "the node is away"
