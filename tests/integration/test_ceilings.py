"""No channel and no node has more of us than staff allow; and no missing rate lifts a limit."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.checks import run_checks
from django.utils import timezone

from lightning.types import NodeAddress
from orders import actors, ceilings, rates
from orders.errors import NodeFull, NotAvailable
from orders.models import ChannelOrder, HoldInvoice, Reservation
from orders.openings import opening, terms
from orders.operations import claiming
from orders.payments import surplus
from orders.rates import Rate
from orders.states import Firmness, OrderState
from orders.transitions import locked
from tests.factories import OpeningFactory, OrderFactory, SnapshotFactory, pubkey
from tests.integration.conftest import BODY, Api

CAPACITY_SAT = BODY["local_balance"] + BODY["remote_balance"]  # as much as that of the factory's orders
SOURCE = "tests.integration.test_ceilings.told"
#: A bitcoin costs 100,000: a thousand satoshis are one unit.
_say: dict[str, Any] = {}


def told() -> Rate:
    """The source; it raises what is to be raised."""
    if isinstance(_say["rate"], Exception):
        raise _say["rate"]
    rate: Rate = _say["rate"]
    return rate


def says(units_per_coin: Any = 100_000, *, seconds_ago: int = 0) -> None:
    rates._last.clear()
    _say["rate"] = Rate(Decimal(units_per_coin), timezone.now() - timedelta(seconds=seconds_ago))


@pytest.fixture(autouse=True)
def rate(settings: Any) -> None:
    settings.RATE_SOURCE = SOURCE
    says()


def claim(order: ChannelOrder, number: int = 5, **more: Any) -> ChannelOrder:
    given = {"announced": None, "actor": actors.BUYER} | more
    return claiming.claim(order.pk, NodeAddress(pubkey(number)), **given)


def reached(order: ChannelOrder) -> ChannelOrder:
    """Its node has answered."""
    Reservation.objects.filter(order=order.pk).update(firmness=Firmness.REACHED)
    return order


# A channel


def test_a_channel_is_worth_no_more_than_is_allowed_to_the_satoshi(api: Api, settings: Any) -> None:
    settings.MOST_CHANNEL_IN_CURRENCY = CAPACITY_SAT // 1000
    assert api.buy().status_code == 200
    answer = api.buy(local_balance=BODY["local_balance"] + 1)
    assert (answer.status_code, answer.said["code"], answer.said["field"]) == (400, "invalid", "local_balance")
    assert answer.said["error"] == f"The channel must not have more than {CAPACITY_SAT} satoshis."


@pytest.mark.parametrize(
    "rate",
    [
        lambda: _say.update(rate=OSError("away")),
        lambda: _say.update(rate=None),
        lambda: says(0),
        lambda: says(-5),
        lambda: says("NaN"),
        lambda: says("Infinity"),
        lambda: says(seconds_ago=3601),
        lambda: says(seconds_ago=-3600),
    ],
)
def test_without_a_fresh_rate_nothing_is_sold_that_it_limits(api: Api, settings: Any, rate: Any) -> None:
    """Else who keeps the rate from us buys what he likes."""
    settings.MOST_CHANNEL_IN_CURRENCY = 10**6
    rates._last.clear()
    rate()
    answer = api.buy()
    assert (answer.status_code, answer.said["code"], answer["Retry-After"]) == (503, "not_available", "60")
    assert "exchange rate" in answer.said["error"] and not ChannelOrder.objects.exists()


def test_a_rate_that_was_fresh_when_it_was_asked_for_grows_old(api: Api, settings: Any) -> None:
    settings.MOST_CHANNEL_IN_CURRENCY, settings.RATE_MAX_AGE_SECONDS = 10**6, 2
    assert api.buy().status_code == 200
    rates._last[SOURCE] = (rates._last[SOURCE][0], Rate(Decimal(100_000), timezone.now() - timedelta(seconds=3)))
    assert api.buy().status_code == 503


@pytest.mark.parametrize("said", [OSError("away"), None, "units", 5, "naive"])
def test_a_source_that_says_nothing_of_use_is_asked_no_more_often_than_another(
    api: Api, settings: Any, monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    """Else every stranger who asks for a price has the operator's source asked, and a line written."""
    settings.MOST_CHANNEL_IN_CURRENCY = 10**6
    odd = {"units": Rate("100000", timezone.now()), "naive": Rate(Decimal(1), datetime(2999, 1, 1))}  # type: ignore[arg-type]  # noqa: DTZ001
    asked: list[Any] = []
    monkeypatch.setattr("tests.integration.test_ceilings.told", lambda: asked.append(1) or _raised(odd.get(said, said)))
    rates._last.clear()
    assert [api.buy().status_code for _ in range(3)] == [503, 503, 503]
    assert len(asked) == 1
    rates._last[SOURCE] = (rates._last[SOURCE][0] - 31, rates._last[SOURCE][1])
    api.buy()
    assert len(asked) == 2


def _raised(said: Any) -> Any:
    if isinstance(said, Exception):
        raise said
    return said


def test_where_no_limit_needs_it_nobody_asks_for_a_rate(api: Api) -> None:
    _say["rate"] = OSError("away")
    rates._last.clear()
    assert api.buy(node_uri=pubkey(5)).status_code == 200


def test_a_source_that_is_not_there_is_told_at_the_start(settings: Any) -> None:
    settings.RATE_SOURCE = "nowhere.at_all"
    assert "lsp.E004" in {found.id for found in run_checks()}


# A node

LIMITS = [{"MOST_NODE_SAT": 2 * CAPACITY_SAT}, {"MOST_NODE_IN_CURRENCY": 2 * CAPACITY_SAT // 1000}]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("state", ["uri_set", "opening", "open", "closing"])
def test_a_node_has_no_more_than_is_allowed(api: Api, settings: Any, limit: dict[str, int], state: str) -> None:
    for name, value in limit.items():
        setattr(settings, name, value)
    has = OrderFactory(**{state: True}, node_pubkey=pubkey(5))
    if state == "uri_set":
        reached(has)
    assert api.buy(node_uri=pubkey(5)).status_code == 200
    reached(claim(OrderFactory(paid_lightning=True)))
    answer = api.buy(node_uri=pubkey(5))
    assert (answer.status_code, answer.said["code"], answer.said["field"]) == (409, "node_limit", "node_uri")
    third = OrderFactory(paid_lightning=True)
    with pytest.raises(NodeFull):
        claim(third)
    assert ChannelOrder.objects.get(pk=third.pk).state == OrderState.PAID
    claim(third, 6)  # another node has room


@pytest.mark.parametrize("state", ["closed", "give_up", "refunded"])
def test_what_is_over_counts_no_more(db: None, settings: Any, state: str) -> None:
    settings.MOST_NODE_SAT = CAPACITY_SAT
    OrderFactory(**{state: True}, node_pubkey=pubkey(5))
    assert claim(OrderFactory(paid_lightning=True)).state == OrderState.URI_SET


def test_nobody_fills_a_node_that_he_names_and_does_not_pay_for(db: None, settings: Any) -> None:
    settings.MOST_NODE_SAT = CAPACITY_SAT
    OrderFactory(node_pubkey=pubkey(5))
    assert claim(OrderFactory(paid_lightning=True)).state == OrderState.URI_SET


@pytest.mark.parametrize("rail", ["lightning", "onchain"])
@pytest.mark.parametrize("failure", ["", "PEER_NOT_REACHABLE", "PEER_BUSY"])
def test_nobody_fills_a_node_by_naming_it_at_a_host_that_nobody_answers_at(
    db: None, settings: Any, rail: str, failure: str
) -> None:
    """His payment goes back in the end, and meanwhile the node's own buyer would be refused: dialled or not."""
    settings.MOST_NODE_SAT = CAPACITY_SAT
    now = timezone.now()
    stranger = OrderFactory(
        uri_set=True,
        counted_payment=rail,
        node_pubkey=pubkey(5),
        claimed_at=now - timedelta(seconds=9),
        last_failure_reason=failure,
    )
    own = claim(OrderFactory(paid_lightning=True))
    assert not ceilings.is_over(own)
    OpeningFactory(order=stranger, state="negotiating", node_pubkey=pubkey(5), transaction=None)
    assert ceilings.is_over(own)  # it was reached after all


def test_who_named_it_first_goes_behind_whom_the_node_has_answered_to(db: None, settings: Any) -> None:
    settings.MOST_NODE_SAT = CAPACITY_SAT
    now = timezone.now()
    stranger = OrderFactory(uri_set=True, node_pubkey=pubkey(5), claimed_at=now - timedelta(seconds=9))
    own = reached(claim(OrderFactory(paid_lightning=True)))
    assert not ceilings.is_over(own)
    OpeningFactory(order=own, state="negotiating", node_pubkey=pubkey(5), transaction=None)
    assert ceilings.is_over(stranger)
    with pytest.raises(NodeFull):
        claim(OrderFactory(paid_lightning=True))


@pytest.mark.django_db(transaction=True)
def test_whoever_begins_an_attempt_asks_once_more(settings: Any) -> None:
    """Of two that were reached at one time the second would be beyond it."""
    SnapshotFactory()
    settings.MOST_NODE_SAT = CAPACITY_SAT
    first, second = (reached(OrderFactory(uri_set=True, node_pubkey=pubkey(5))) for _ in range(2))
    OpeningFactory(order=first, node_pubkey=pubkey(5))
    ChannelOrder.objects.filter(pk=first.pk).update(state=OrderState.OPENING)
    assert opening._intend(second.pk, terms.of(second)) is None
    assert not second.openings.exists()
    settings.MOST_NODE_SAT = 2 * CAPACITY_SAT
    assert opening._intend(second.pk, terms.of(second)) is not None


def test_the_same_claim_again_is_fine_though_the_node_is_full(db: None, settings: Any) -> None:
    settings.MOST_NODE_SAT = CAPACITY_SAT
    order = claim(OrderFactory(paid_lightning=True))
    assert claim(order).pk == order.pk


def test_of_two_that_named_one_node_at_purchase_and_are_paid_the_later_is_over(db: None, settings: Any) -> None:
    settings.MOST_NODE_SAT = CAPACITY_SAT
    now = timezone.now()
    first = reached(OrderFactory(uri_set=True, node_pubkey=pubkey(5), claimed_at=now - timedelta(seconds=1)))
    second = reached(OrderFactory(uri_set=True, node_pubkey=pubkey(5), claimed_at=now))
    assert (ceilings.is_over(first), ceilings.is_over(second)) == (False, True)
    twins = [reached(OrderFactory(uri_set=True, node_pubkey=pubkey(7), claimed_at=now)) for _ in range(2)]
    assert sorted(map(ceilings.is_over, twins)) == [False, True]


def test_who_restores_our_records_is_held_to_no_limit(db: None, settings: Any) -> None:
    settings.MOST_NODE_SAT = 1
    assert claim(OrderFactory(paid_lightning=True), actor=actors.command("root")).state == OrderState.URI_SET


def test_without_a_rate_no_claim_is_taken_that_it_limits(db: None, settings: Any) -> None:
    settings.MOST_NODE_IN_CURRENCY = 10**6
    _say["rate"] = OSError("away")
    rates._last.clear()
    with pytest.raises(NotAvailable):
        claim(OrderFactory(paid_lightning=True))


# What is added to a channel since its buyer has paid too much

MORE_SAT = 1_000


def grows(order: ChannelOrder) -> bool:
    with locked(order.pk) as held:
        return surplus.to_add_sat(held) == MORE_SAT


def overpaid(**fields: Any) -> ChannelOrder:
    order: ChannelOrder = OrderFactory(uri_set=True, **fields)
    HoldInvoice.objects.filter(order=order).update(held_sat=order.order_total_sat + MORE_SAT)
    return order


@pytest.mark.parametrize(
    ("limit", "divisor"), [("MOST_NODE_SAT", 1), ("MOST_NODE_IN_CURRENCY", 1000), ("MOST_CHANNEL_IN_CURRENCY", 1000)]
)
def test_who_pays_too_much_gets_no_larger_channel_than_is_allowed(
    snapshot: Any, settings: Any, limit: str, divisor: int
) -> None:
    setattr(settings, limit, CAPACITY_SAT // divisor)
    assert not grows(overpaid())
    setattr(settings, limit, (CAPACITY_SAT + MORE_SAT) // divisor)
    assert grows(overpaid())


def test_without_a_rate_nothing_is_added_that_it_limits(snapshot: Any, settings: Any) -> None:
    settings.MOST_CHANNEL_IN_CURRENCY = 10**6
    _say["rate"] = OSError("away")
    rates._last.clear()
    assert not grows(overpaid())


def test_what_was_added_to_a_nodes_channels_is_a_part_of_what_it_has(snapshot: Any, settings: Any) -> None:
    settings.MOST_NODE_SAT = 2 * CAPACITY_SAT
    order = OrderFactory(open=True, node_pubkey=pubkey(5))
    order.openings.update(surplus_sat=MORE_SAT)
    with pytest.raises(NodeFull):
        claim(OrderFactory(paid_lightning=True))
    order.openings.update(state="failed")
    claim(OrderFactory(paid_lightning=True))
