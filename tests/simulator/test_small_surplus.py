"""What was paid too much and is too little to be sent: on the buyer's side of his channel, or booked; never lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lightning.node import LndNode
from lightning.types import Utxo
from orders import actors, queries, reserved
from orders.models import ChannelOpening, NodeSnapshot, Reservation, Service
from orders.operations import refunding
from orders.payments import security
from orders.payments.onchain import due
from tests.chaos.test_losses import put_back, snapshot
from tests.e2e.shop import Shop
from tests.e2e.test_refunds import FINAL, big, deposit, expired, refunds, somewhere, until_refund
from tests.regtest.payment import SUCCEEDED
from tests.regtest.waiting import until

#: Less than it costs to send it at the simulator's rates.
LITTLE_SAT = 900


@pytest.fixture(autouse=True)
def a_node_as_it_should_be(shop: Shop) -> Iterator[None]:
    yield
    shop.network.lsp.control.set_fees(2_530, 253)
    shop.wallet.change(presence="online", max_channel_sat=2**24 - 1, vanishes="")  # type: ignore[attr-defined]


def turns(shop: Shop, quote: dict[str, Any], times: int = 3) -> None:
    for _ in range(times):
        shop.hurry(quote)
        shop.turn()


def delivered(shop: Shop, quote: dict[str, Any]) -> ChannelOpening:
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    shop.network.mine(FINAL)
    turns(shop, quote)
    return shop.opening(quote)


def paid_too_much(shop: Shop, more_sat: int = LITTLE_SAT, **body: Any) -> dict[str, Any]:
    quote = big(shop, **body)
    deposit(shop, quote, quote["total_amount"] + more_sat)
    shop.run(quote, "paid")
    return quote


def paid_too_much_by_lightning(shop: Shop, more_sat: int = LITTLE_SAT) -> dict[str, Any]:
    quote = shop.buy()
    shop.wallet.pay_amount(quote["ln_invoice"], (quote["total_amount"] + more_sat) * 1000)
    shop.run(quote, "paid")
    return quote


def sizes(shop: Shop, quote: dict[str, Any]) -> tuple[int, int]:
    """What the node says of the channel beyond what was sold: its capacity, the buyer's side."""
    order, channel = shop.order(quote), shop.channel_at(shop.network.lsp, quote)  # type: ignore[arg-type]
    assert channel is not None
    return channel.capacity - order.capacity_sat, channel.push_amount_sat - order.client_balance_sat


def states(quote: dict[str, Any]) -> list[tuple[str, int]]:
    return [(row.state, row.amount_sat) for row in refunds(quote)]


# In the channel


def test_what_is_too_little_to_be_sent_is_on_the_buyers_side_and_nowhere_else(shop: Shop) -> None:
    quote = paid_too_much(shop, refund_onchain_address=somewhere())
    turns(shop, quote)
    assert not refunds(quote), "it waits for the channel"
    opening = delivered(shop, quote)
    assert sizes(shop, quote) == (LITTLE_SAT, LITTLE_SAT)
    assert opening.surplus_sat == LITTLE_SAT and not refunds(quote)
    assert shop.journal(quote).count("surplus_added") == 1
    assert not shop.order(quote).standing


def test_what_a_hold_invoice_brought_too_much_is_in_the_channel_where_no_address_is_known(shop: Shop) -> None:
    """However much it is: the node can return no part of what it holds."""
    quote = shop.buy()
    payment = shop.wallet.pay_amount(quote["ln_invoice"], (quote["total_amount"] + 5_000) * 1000)
    shop.run(quote, "paid")
    delivered(shop, quote)
    assert payment.wait() == SUCCEEDED
    assert sizes(shop, quote) == (5_000, 5_000) and not refunds(quote)
    assert not shop.order(quote).standing


def test_what_a_hold_invoice_brought_a_little_too_much_is_in_the_channel_although_an_address_is_known(
    shop: Shop,
) -> None:
    quote = shop.buy(refund_onchain_address=somewhere())
    shop.wallet.pay_amount(quote["ln_invoice"], (quote["total_amount"] + LITTLE_SAT) * 1000)
    shop.run(quote, "paid")
    delivered(shop, quote)
    assert sizes(shop, quote) == (LITTLE_SAT, LITTLE_SAT) and not refunds(quote)


def test_an_attempt_that_failed_for_another_reason_is_followed_by_one_that_adds_it_once(shop: Shop) -> None:
    quote = paid_too_much(shop)
    shop.network.lsp.control.change_customer("buyer", vanishes="open")
    shop.claim(quote)
    until(lambda: turns(shop, quote, 1) or shop.order(quote).openings.filter(state="failed"), "an attempt has failed")
    shop.network.lsp.control.change_customer("buyer", vanishes="", presence="online")
    ChannelOpening.objects.filter(order=quote["order_id"]).update(failure_reason="PEER_NOT_REACHABLE")
    until(lambda: turns(shop, quote, 1) or shop.order(quote).state == "opening", "it is being opened")
    shop.run(quote, "open", mine=True)
    assert sizes(shop, quote) == (LITTLE_SAT, LITTLE_SAT)
    assert [row.surplus_sat for row in shop.order(quote).openings.all()] == [LITTLE_SAT, LITTLE_SAT]
    assert shop.journal(quote).count("surplus_added") == 1 and not refunds(quote)


def test_while_it_is_being_opened_the_larger_channel_is_what_is_promised(shop: Shop) -> None:
    quote = paid_too_much(shop)
    shop.network.lsp.control.change_customer("buyer", vanishes="open")
    shop.claim(quote)
    until(lambda: turns(shop, quote, 1) or shop.order(quote).openings.filter(state="failed"), "an attempt has failed")
    order = shop.order(quote)
    sold_sat = order.capacity_sat + order.open_fee_sat
    assert Reservation.objects.get(order=order).value_sat == sold_sat
    shop.network.lsp.control.change_customer("buyer", vanishes="", presence="online")
    ChannelOpening.objects.filter(order=order).update(failure_reason="PEER_NOT_REACHABLE")
    until(lambda: turns(shop, quote, 1) or shop.order(quote).state == "opening", "it is being opened")
    assert Reservation.objects.get(order=order).value_sat == sold_sat + LITTLE_SAT
    assert not reserved.reservations_astray()


@pytest.mark.parametrize("rail", ["onchain", "lightning"])
def test_a_larger_channel_that_our_records_have_lost_is_taken_over_with_what_was_added(shop: Shop, rail: str) -> None:
    """Else it would be in the channel, and go back besides."""
    quote = paid_too_much(shop) if rail == "onchain" else paid_too_much_by_lightning(shop)
    before = snapshot()
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    put_back(before)
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    turns(shop, quote)
    assert "opening_adopted" in shop.journal(quote)
    assert sizes(shop, quote) == (LITTLE_SAT, LITTLE_SAT)
    assert shop.opening(quote).surplus_sat == LITTLE_SAT and not refunds(quote)


# Not in the channel: it is booked


def test_by_setting_it_is_kept_for_the_buyer_and_booked(shop: Shop, settings: Any) -> None:
    settings.SMALL_SURPLUS = "keep"
    quote = paid_too_much(shop, refund_onchain_address=somewhere())
    delivered(shop, quote)
    assert sizes(shop, quote) == (0, 0)
    assert states(quote) == [("kept", LITTLE_SAT)] and refunds(quote)[0].too_little


@pytest.mark.parametrize("limit", ["max_channel_sat", "max_client_balance_sat"])
def test_no_channel_is_larger_than_the_service_sells(shop: Shop, limit: str) -> None:
    quote = paid_too_much(shop)
    order = shop.order(quote)
    least = {"max_channel_sat": order.capacity_sat, "max_client_balance_sat": order.client_balance_sat}[limit]
    Service.objects.filter(pk=order.service_id).update(**{limit: least + LITTLE_SAT - 1})
    delivered(shop, quote)
    assert sizes(shop, quote) == (0, 0) and states(quote) == [("kept", LITTLE_SAT)]


def test_the_lsps_side_stays_the_larger_one(shop: Shop) -> None:
    quote = shop.buy(local_balance=120_000, remote_balance=119_500)
    deposit(shop, quote, quote["total_amount"] + LITTLE_SAT)
    shop.run(quote, "paid")
    delivered(shop, quote)
    assert sizes(shop, quote) == (0, 0) and states(quote) == [("kept", LITTLE_SAT)]


def test_a_node_that_takes_no_larger_channel_has_the_one_that_was_sold(shop: Shop) -> None:
    """A refusal for good ends no order when what was refused was not what was sold."""
    quote = paid_too_much(shop)
    shop.network.lsp.control.change_customer("buyer", max_channel_sat=shop.order(quote).capacity_sat)
    delivered(shop, quote)
    assert sizes(shop, quote) == (0, 0) and states(quote) == [("kept", LITTLE_SAT)]
    assert shop.journal(quote).count("surplus_left_out") == 1


def test_coins_that_are_promised_to_others_make_no_channel_larger(shop: Shop, settings: Any) -> None:
    quote = paid_too_much(shop)
    shop.turn()
    order, seen = shop.order(quote), NodeSnapshot.objects.get()
    room_sat = queries.stock(seen, besides=order.pk).room_sat + queries.change_sat(seen)
    settings.ONCHAIN_RESERVE_SAT = room_sat - order.reservation.value_sat - LITTLE_SAT + 1
    delivered(shop, quote)
    assert sizes(shop, quote) == (0, 0) and states(quote) == [("kept", LITTLE_SAT)]


def test_what_is_taken_back_before_the_point_of_no_return_is_in_no_channel(shop: Shop) -> None:
    """A stranger pays the price, and the rest by a second transaction that is taken back while the peer answers."""
    quote = big(shop)
    deposit(shop, quote, quote["total_amount"])
    deposit(shop, quote, LITTLE_SAT, blocks=1)
    shop.run(quote, "paid")
    order = shop.order(quote)
    opening = ChannelOpening(state="negotiating", surplus_sat=LITTLE_SAT, order=order)
    order._prefetched_objects_cache = {"openings": [opening]}  # type: ignore[attr-defined]
    assert security.look(order, shop.node).secured
    shop.network.reorganise(1, [])
    assert not security.look(order, shop.node).secured
    assert security.look(shop.order(quote), shop.node).secured, "what was sold is still paid for"
    shop.network.mine(1)


# What is due again


def test_small_sums_that_were_kept_go_back_together_once_they_are_worth_it(shop: Shop, settings: Any) -> None:
    shop.network.lsp.control.set_fees(253, 253)
    address = somewhere()
    quote = expired(shop, settings, refund_onchain_address=address)
    for number in range(2):
        deposit(shop, quote, 340)
        until_refund(shop, quote, "kept", number=number)
    deposit(shop, quote, 340)
    refund = until_refund(shop, quote, "published", number=2)
    assert states(quote) == [("withdrawn", 340), ("withdrawn", 340), ("published", 1_020)]
    assert refund.transaction is not None and len(refund.transaction.inputs) == 3
    shop.network.mine(FINAL)
    until_refund(shop, quote, "done", number=2)


def test_what_staff_keep_does_not_go_with_what_comes_later(shop: Shop, settings: Any) -> None:
    quote = expired(shop, settings)
    deposit(shop, quote, 30_000)
    until_refund(shop, quote, "due")
    refunding.keep(shop.order(quote).pk, reason="a court has said so", actor=actors.staff("ada"))
    deposit(shop, quote, 20_000)
    until_refund(shop, quote, "due", number=1)
    assert states(quote) == [("kept", 30_000), ("due", 20_000)]


def test_very_many_deposits_go_back_in_several_transactions_the_largest_first(
    shop: Shop, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes relay no larger one."""
    monkeypatch.setattr(due, "MOST_DEPOSITS", 3)
    address = somewhere()
    quote = expired(shop, settings, refund_onchain_address=address)
    amounts = [20_000, 21_000, 22_000, 23_000, 24_000]
    shop.network.chain.pay([(quote["btc_address"], amount_sat) for amount_sat in amounts])
    shop.network.mine(FINAL)
    for number in range(2):
        until_refund(shop, quote, "published", number=number)
        shop.network.mine(FINAL)
        until_refund(shop, quote, "done", number=number)
    turns(shop, quote)
    assert states(quote) == [("done", 69_000), ("done", 41_000)]
    spent = [len(row.transaction.inputs) for row in refunds(quote) if row.transaction]
    assert spent == [3, 2] and shop.order(quote).state == "refunded"


def test_a_refund_of_other_coins_leaves_what_lnd_keeps_to_close_its_channels(
    shop: Shop, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order's own deposit was spent; what is left must be there when a channel is closed by force."""
    quote = expired(shop, settings, refund_onchain_address=somewhere())
    whole, address = LndNode.coins, quote["btc_address"]

    def without_its_own(node: LndNode, **options: Any) -> list[Utxo]:
        return [coin for coin in whole(node, **options) if coin.address != address]

    monkeypatch.setattr(LndNode, "coins", without_its_own)
    left_sat = sum(coin.amount_sat for coin in shop.node.coins(min_confirmations=FINAL)) - 60_000
    monkeypatch.setattr(LndNode, "required_reserve_sat", lambda node, **_: left_sat + 1)
    deposit(shop, quote, 60_000)
    turns(shop, quote, 4)
    assert [row.state for row in refunds(quote)] == ["due"]
    assert [flag.kind for flag in shop.order(quote).standing] == ["refund_stuck"]
    monkeypatch.setattr(LndNode, "required_reserve_sat", lambda node, **_: left_sat)
    until_refund(shop, quote, "published")
    assert not shop.order(quote).standing


def test_the_buyers_own_deposit_is_not_kept_for_our_channels(
    shop: Shop, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = expired(shop, settings, refund_onchain_address=somewhere())
    monkeypatch.setattr(LndNode, "required_reserve_sat", lambda node, **_: 10**12)
    deposit(shop, quote, 60_000)
    until_refund(shop, quote, "published")
