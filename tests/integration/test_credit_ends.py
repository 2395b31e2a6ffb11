"""What was taken for paid in no block: asked for each time, deep, taken back, or lost, and what that costs at most."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.types import Outpoint
from orders import actors, queries, reconcile
from orders.advance import advance
from orders.causes import Cause, FlagKind
from orders.models import ChannelOrder, Credit, NodeSnapshot, OnchainPayment
from orders.openings import publishing
from orders.operations import ending
from orders.payments import onchain
from orders.payments.onchain import crediting, foreseeing
from orders.states import OpeningState, OrderState
from tests.crediting import (
    an_hour_passes,
    committed,
    follow,
    fresh,
    look,
    lost_after_publishing,
    payment_of,
    quoted,
    replaced,
    standing,
    taken,
)
from tests.factories import OpeningFactory, pubkey, txid
from tests.foreseen import World, firmness
from tests.scripted import channel, mined, pending

pytestmark = pytest.mark.django_db(transaction=True)

ADA = actors.staff("ada")


# Asked each time


def test_it_is_secured_only_while_the_source_has_it(world: World) -> None:
    order = quoted()
    made = taken(world, order)
    assert payment_of(world, order).secured
    replaced(world, made)
    payment = payment_of(world, order)
    assert (payment.secured, payment.lost) == (False, False)
    an_hour_passes()
    assert payment_of(world, order).lost


def test_a_source_that_is_away_makes_it_wait_and_costs_it_nothing(world: World, settings: Any) -> None:
    order = quoted()
    taken(world, order)
    world.bitcoind.status = 503
    payment = payment_of(world, order)
    assert (payment.secured, payment.lost) == (False, False)
    world.bitcoind.status = 200
    foreseeing._source.cache_clear()
    assert payment_of(world, order).secured


@pytest.mark.parametrize("was_down", [True, False])
def test_hours_in_which_nobody_looked_are_none_in_which_it_was_not_there(world: World, was_down: bool) -> None:
    """After a failure of the host's power the chain source reads its mempool for minutes. Control: somebody looked."""
    order = quoted()
    made = taken(world, order)
    hours = timezone.now() - timedelta(hours=9)
    Credit.objects.update(seen_at=hours, **({"looked_at": hours} if was_down else {}))
    waits = world.bitcoind.mempool.pop(made)
    assert payment_of(world, order).lost is not was_down
    if was_down:
        world.bitcoind.mempool[made] = waits
        assert payment_of(world, order).secured
        replaced(world, made)
        an_hour_passes()
        assert payment_of(world, order).lost


def test_what_has_a_block_needs_no_source_though_it_is_not_deep(world: World, settings: Any) -> None:
    settings.ONCHAIN_CONFIRMATIONS = 3
    order = quoted()
    made = taken(world, order)
    world.mine(order, made)
    world.bitcoind.status = 503
    assert payment_of(world, order).secured and fresh(order).on_credit


# Taken back before anything was delivered


def test_one_that_the_source_saw_mined_a_moment_before_our_node_is_not_taken_for_one_with_a_rival(world: World) -> None:
    order = quoted()
    made = taken(world, order)
    replaced(world, made, mined_rival=True)
    row = OnchainPayment.objects.get(txid=made)
    world.bitcoind.mined(made, row.vout, row.amount_sat)
    payment = payment_of(world, order)
    assert payment.secured and not payment.lost


def test_one_that_our_wallet_has_no_more_is_gone_at_once(world: World) -> None:
    order = quoted()
    made = taken(world, order)
    replaced(world, made)
    del world.node.wallet[made]
    assert payment_of(world, order).lost


@pytest.mark.parametrize("how", ["mined rival", "gone for an hour"])
@pytest.mark.parametrize("state", ["paid", "uri_set", "give_up"])
def test_one_that_is_replaced_before_the_point_of_no_return_leaves_the_order_unpaid_and_its_coins_free(
    world: World, how: str, state: str
) -> None:
    order = quoted()
    made = taken(world, order)
    more = {} if state == "paid" else {"node_pubkey": pubkey(7), "give_up_until": timezone.now() + timedelta(hours=1)}
    ChannelOrder.objects.filter(pk=order.pk).update(state=state, **more)
    replaced(world, made, mined_rival=how == "mined rival")
    if how == "gone for an hour":
        assert look(world, order) == state
        an_hour_passes()
    assert look(world, order) == OrderState.EXPIRED
    assert (fresh(order).counted_payment, fresh(order).on_credit) == ("", False)
    assert firmness(order) == "released" and crediting.outstanding_sat() == 0
    assert onchain.due_sat(fresh(order), timezone.now()) == 0
    assert not standing(order)


def test_what_pays_it_after_all_is_a_late_payment_that_still_buys(world: World) -> None:
    order = quoted()
    made = taken(world, order)
    replaced(world, made, mined_rival=True)
    assert look(world, order) == OrderState.EXPIRED
    made = world.deposit(order, name="the rival pays too")
    world.mine(order, made)
    assert look(world, order) == OrderState.PAID
    assert not fresh(order).on_credit
    assert order.events.filter(cause=Cause.LATE_PAYMENT_TAKEN).exists()


def test_an_attempt_ends_at_the_point_of_no_return_where_it_is_gone(world: World) -> None:
    order = quoted(node_pubkey=pubkey(7), node_host="198.51.100.7:9735")
    made = taken(world, order)
    OpeningFactory(order=order, state=OpeningState.FUNDED)
    replaced(world, made, mined_rival=True)
    assert payment_of(world, order).lost
    follow(world, order)
    assert fresh(order).state == OrderState.URI_SET  # the attempt ends first


def test_a_funding_is_not_published_once_its_deposit_is_gone_but_put_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_out: list[str] = []
    monkeypatch.setattr(publishing.conflicting, "begin", lambda order_id, node, *, reason: put_out.append(reason))
    order = quoted()
    made = committed(world, order, OpeningState.PUBLISHING)
    replaced(world, made, mined_rival=True)
    publishing.publish(order.pk, world.node)  # type: ignore[arg-type]
    assert put_out == ["PAYMENT_NOT_SECURED"] and not world.node.published


def test_control_whoever_does_not_ask_where_it_is_publishes_the_funding_for_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreseeing, "_where", lambda row, node, until: foreseeing.Whereabouts.WAITS)
    order = quoted()
    made = committed(world, order, OpeningState.PUBLISHING)
    replaced(world, made, mined_rival=True)
    publishing.publish(order.pk, world.node)  # type: ignore[arg-type]
    assert world.node.published


def test_control_while_it_is_there_the_funding_is_published(world: World) -> None:
    order = quoted()
    committed(world, order, OpeningState.PUBLISHING)
    publishing.publish(order.pk, world.node)  # type: ignore[arg-type]
    assert world.node.published


def test_an_order_whose_channel_our_records_have_lost_is_not_called_unpaid_and_forgotten(world: World) -> None:
    """A database that was put back knows of no attempt: the channel is there, and what it has cost us counts."""
    order = quoted()
    made = taken(world, order)
    ChannelOrder.objects.filter(pk=order.pk).update(state=OrderState.URI_SET, node_pubkey=pubkey(7))
    world.node.pending = [pending(Outpoint(txid("real"), 0), fresh(order))]
    replaced(world, made, mined_rival=True)
    for _ in range(3):
        look(world, order)
    assert fresh(order).state != OrderState.EXPIRED and fresh(order).on_credit
    assert FlagKind.TRACE_UNKNOWN in standing(order)
    assert crediting.outstanding_sat() == order.order_total_sat


# Lost


def test_one_that_is_replaced_after_publishing_is_a_loss_with_a_name_and_no_more_than_its_amount(world: World) -> None:
    order = quoted()
    lost_after_publishing(world, order)
    event = order.events.get(cause=Cause.PAYMENT_LOST)
    assert event.facts["amount_sat"] == order.order_total_sat == Credit.objects.get().amount_sat
    assert Credit.objects.get().lost_at is not None
    assert fresh(order).state == OrderState.OPENING  # its channel is there all the same


def test_a_delivered_order_at_rest_is_looked_at_until_its_deposit_is_deep(world: World) -> None:
    order = quoted()
    made = committed(world, order, OpeningState.PUBLISHED)
    opening = order.openings.get()
    ChannelOrder.objects.filter(pk=order.pk).update(state=OrderState.OPEN, due_at=None)
    outpoint = Outpoint.parse(opening.funding_outpoint)
    order.openings.update(state=OpeningState.CONFIRMED)
    world.node.pending, world.node.open = [], [channel(outpoint, fresh(order))]
    world.node.wallet[outpoint.txid] = mined(outpoint.txid)
    assert order.pk in onchain.differing(world.node, NodeSnapshot.objects.get())  # type: ignore[arg-type]
    world.mine(order, made)
    reconcile.look(world.node)  # type: ignore[arg-type]
    for order_id in queries.due_ids(timezone.now()):
        advance(order_id, node=world.node)  # type: ignore[arg-type]
    assert not fresh(order).on_credit
    assert order.pk not in onchain.differing(world.node, NodeSnapshot.objects.get())  # type: ignore[arg-type]


def test_cancelled_by_staff_it_counts_no_more(world: World) -> None:
    order = quoted()
    taken(world, order)
    ending.cancel(order.pk, actor=ADA)
    look(world, order)
    assert crediting.outstanding_sat() == 0 and not fresh(order).on_credit


def test_only_what_is_deep_goes_back_of_an_order_that_was_paid_so(world: World) -> None:
    order = quoted()
    taken(world, order)
    ending.cancel(order.pk, actor=ADA)
    look(world, order)
    assert onchain.due_sat(fresh(order), timezone.now()) == 0 and not order.refunds.exists()
