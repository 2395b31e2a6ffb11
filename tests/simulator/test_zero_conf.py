"""Zero-conf channels once more, on the simulator; and what real nodes do not do when they are asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orders import actors
from orders.causes import FlagKind
from orders.errors import NotPossible
from orders.models import ChannelOrder, SwitchName
from orders.openings import committing
from orders.operations import ending, giving_up, pausing
from orders.payments import security
from orders.payments.rail import Security
from orders.states import InvoiceState, OpeningState, OrderState
from tests.chaos.test_losses import advance_until
from tests.e2e.shop import Shop
from tests.e2e.test_zero_conf import *  # noqa: F403
from tests.e2e.test_zero_conf import Quote, buy_at_once
from tests.simulator.network import SimulatedNetwork

LOST = Security(secured=False, lost=True, reason="the node has cancelled it")


class Died(BaseException):
    """As kill -9 does: nobody catches it."""


@pytest.fixture
def wallet(network: SimulatedNetwork, add_peer: Callable[..., Any], shop: Shop) -> Iterator[Any]:
    network.mine(6)  # what earlier tests have published gives its change back
    peer = add_peer()
    peer.change(accepts_zero_conf=True)
    yield peer
    network.mine(6)
    for lease in shop.node.leases():  # of attempts that died here: later tests buy of the same coins
        shop.node.release(lease.outpoint, lock_id=lease.lock_id)


def die(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, after: bool) -> None:
    """Once."""
    call = getattr(owner, name)

    def dying(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(owner, name, call)
        if after:
            call(*args, **options)
        raise Died

    monkeypatch.setattr(owner, name, dying)


def committed(shop: Shop, wallet: Any, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> Quote:
    """The process died when the attempt was COMMITTED: before the node was told, or when there was a channel."""
    quote = buy_at_once(shop, wallet)
    die(monkeypatch, committing, "verify", after=after)
    with pytest.raises(Died):
        shop.run(quote, OrderState.OPENING)
    order = shop.order(quote)
    assert (order.state, live(order).state) == (OrderState.URI_SET, OpeningState.COMMITTED)
    assert live(order).funding_outpoint.partition(":")[0] not in shop.network.chain.mempool()
    return quote


def live(order: ChannelOrder) -> Any:
    assert order.live_opening is not None
    return order.live_opening


def test_a_channel_that_came_to_be_is_funded_although_its_payment_is_lost(
    shop: Shop, wallet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has received over it would lose that; what we lose has a name."""
    quote = committed(shop, wallet, monkeypatch, after=True)
    monkeypatch.setattr(security, "look", lambda order, node: LOST)
    shop.node.cancel_invoice(shop.order(quote).hold_invoice.payment_hash)
    shop.hurry(quote)
    shop.run(quote, OrderState.OPEN)
    assert "funding_put_out" not in shop.journal(quote)
    order = shop.order(quote)
    assert order.hold_invoice.state == InvoiceState.CANCELLED
    told = {flag.kind for flag in order.standing}
    assert told & {FlagKind.UNPAID_CHANNEL, FlagKind.RETURNED_WHILE_OPENING}, told
    published = order.events.get(cause="funding_published")
    assert published.facts["unsecured"] == LOST.reason


def test_a_committed_attempt_without_its_channel_is_ended_and_the_next_one_delivers(
    shop: Shop, wallet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = committed(shop, wallet, monkeypatch, after=False)
    shop.hurry(quote)
    shop.run(quote, OrderState.OPEN)
    states = [row.state for row in shop.order(quote).openings.order_by("attempt")]
    assert states == [OpeningState.FAILED, OpeningState.PUBLISHED]
    shop.assert_delivered(quote, wallet)


def test_a_committed_attempt_of_any_age_goes_on_where_its_channel_is(
    shop: Shop, wallet: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.FRESH_ATTEMPT_SECONDS = 0
    quote = committed(shop, wallet, monkeypatch, after=True)
    shop.hurry(quote)
    shop.run(quote, OrderState.OPEN)
    assert [row.state for row in shop.order(quote).openings.all()] == [OpeningState.PUBLISHED]


def test_a_channel_that_its_peer_closes_before_it_was_funded_is_funded(
    shop: Shop, wallet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it holds is its buyer's: without the funding nothing of the close could ever be in the chain."""
    quote = committed(shop, wallet, monkeypatch, after=True)
    outpoint = live(shop.order(quote)).funding_outpoint
    wallet.close_channel(outpoint)
    advance_until(shop, quote, lambda: shop.order(quote).state == OrderState.CLOSED, "closed")
    txids = {each.txid for each in shop.node.transactions(from_height=0) if each.confirmations}
    assert outpoint.partition(":")[0] in txids


def test_a_peer_that_withholds_its_signature_costs_nothing_and_has_its_channel_later(
    shop: Shop, wallet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committing, "PENDING_SECONDS", 0.3)
    wallet.change(withholds_signature=True)
    quote = buy_at_once(shop, wallet)
    advance_until(shop, quote, lambda: "opening_failed" in shop.journal(quote), "ended", mine=False)
    shop.assert_nothing_left(quote)
    wallet.change(withholds_signature=False)
    shop.hurry(quote)
    shop.run(quote, OrderState.OPEN)
    shop.assert_delivered(quote, wallet)


def test_staff_cannot_cancel_what_is_committed_nor_does_a_pause_or_the_windows_end(
    shop: Shop, wallet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = committed(shop, wallet, monkeypatch, after=True)
    order = shop.order(quote)
    with pytest.raises(NotPossible):
        ending.cancel(order.pk, actor=actors.staff("ada"))
    with pytest.raises(NotPossible):
        giving_up.give_up(order.pk, reason="PEER_NOT_REACHABLE", actor=actors.staff("ada"))
    pausing.pause(SwitchName.OPENINGS, reason="Maintenance", actor=actors.staff("ada"))
    ChannelOrder.objects.filter(pk=order.pk).update(open_deadline_at=order.created_at)
    shop.hurry(quote)
    shop.run(quote, OrderState.OPEN)
    pausing.resume(SwitchName.OPENINGS, actor=actors.staff("ada"))
