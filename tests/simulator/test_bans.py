"""Somebody is listed while an order of theirs is under way: it is not delivered, and its money goes back by itself."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from lightning.transactions import address_script
from orders import actors
from orders.barring import BanKind
from orders.models import ChannelOrder, OnchainPayment
from orders.openings import committing, opening
from orders.operations import banning
from tests.chaos.test_losses import put_back, snapshot
from tests.e2e.shop import Shop
from tests.e2e.test_refunds import FINAL, big, deposit, refunds, somewhere, until_refund
from tests.factories import pubkey
from tests.regtest.payment import FAILED

ADA = actors.staff("ada")
DEAD = f"{pubkey(77)}@127.0.0.1:1"
PAYER = somewhere()


def ban(kind: BanKind, value: str) -> None:
    banning.add(kind, value, reason="a list of somebody's", actor=ADA)


def claim_dead(shop: Shop, quote: dict[str, Any]) -> None:
    """For a node that is not there: it waits."""
    shop.post("/channel/manual_finalise", order_id=quote["order_id"], node_uri=DEAD)
    shop.turn()
    assert shop.order(quote).state == "uri_set"


def paid(shop: Shop, **body: Any) -> dict[str, Any]:
    quote = shop.buy(**body)
    shop.pay(quote)
    shop.run(quote, "paid")
    return quote


@pytest.mark.parametrize(("kind", "value"), [(BanKind.NODE, pubkey(77)), (BanKind.HOST, "127.0.0.0/8")])
def test_what_is_held_for_a_node_that_was_listed_since_goes_back_without_grace(
    shop: Shop, kind: BanKind, value: str
) -> None:
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    claim_dead(shop, quote)
    ban(kind, value)
    shop.run(quote, "refunded", timeout=20)
    assert payment.wait() == FAILED
    assert shop.order(quote).give_up_reason == "NOT_SERVED"
    assert shop.seen(quote)["give_up_reason"] == "NOT_SERVED"
    shop.assert_nothing_left(quote)


def test_so_does_what_was_paid_on_chain(shop: Shop) -> None:
    address = somewhere()
    quote = big(shop, refund_onchain_address=address)
    deposit(shop, quote, quote["total_amount"])
    shop.run(quote, "paid")
    claim_dead(shop, quote)
    ban(BanKind.NODE, pubkey(77))
    shop.run(quote, "give_up", timeout=20)
    until_refund(shop, quote, "published")
    shop.network.mine(FINAL)
    until_refund(shop, quote, "done")
    shop.run(quote, "refunded", timeout=20)
    [refund] = refunds(quote)
    assert (refund.amount_sat, refund.address) == (quote["total_amount"], address)
    shop.assert_nothing_left(quote)


def test_a_node_named_at_purchase_and_listed_before_its_payment_gets_nothing(shop: Shop) -> None:
    quote = shop.buy(node_uri=shop.wallet.p2p_address)
    ban(BanKind.NODE, shop.wallet.pubkey)
    payment = shop.pay(quote)
    shop.run(quote, "refunded", timeout=20)
    assert payment.wait() == FAILED
    shop.assert_nothing_left(quote)


def test_an_attempt_that_is_before_the_point_of_no_return_is_taken_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer has signed already: nothing but our own signature is missing."""
    verify = committing.verify

    def verify_and_ban(*given: Any) -> None:
        verify(*given)
        ban(BanKind.NODE, shop.wallet.pubkey)

    monkeypatch.setattr(opening.committing, "verify", verify_and_ban)
    quote = paid(shop)
    shop.claim(quote)
    shop.run(quote, "refunded", timeout=40)
    assert "funding_signed" not in shop.journal(quote)
    shop.assert_nothing_left(quote)


def test_what_is_past_it_is_delivered(shop: Shop) -> None:
    """The funding may be in a block whatever we do: who was paid for it gets his channel."""
    quote = paid(shop)
    shop.claim(quote)
    shop.run(quote, "opening")
    ban(BanKind.NODE, shop.wallet.pubkey)
    shop.run(quote, "open", mine=True)
    shop.assert_delivered(quote)


def test_a_channel_that_the_node_has_already_is_adopted_and_no_money_goes_back(shop: Shop) -> None:
    quote = paid(shop)
    before = snapshot()
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    put_back(before)
    shop.claim(quote)
    ban(BanKind.NODE, shop.wallet.pubkey)
    shop.hurry(quote)
    shop.turn()
    assert shop.order(quote).state in {"opening", "open"} and not shop.order(quote).give_up_reason


@pytest.mark.parametrize("claimed", [False, True])
def test_what_a_payer_paid_who_was_listed_since_goes_back(shop: Shop, claimed: bool) -> None:
    address = somewhere()
    quote = big(shop, refund_onchain_address=address)
    deposit(shop, quote, quote["total_amount"])
    shop.run(quote, "paid")
    OnchainPayment.objects.filter(order=quote["order_id"]).update(payers=[address_script(PAYER)])
    if claimed:
        claim_dead(shop, quote)
    ban(BanKind.PAYER, PAYER)
    shop.run(quote, "rejected", timeout=20)
    until_refund(shop, quote, "published")
    shop.network.mine(FINAL)
    until_refund(shop, quote, "done")
    shop.run(quote, "refunded", timeout=20)
    [refund] = refunds(quote)
    assert (refund.amount_sat, refund.address) == (quote["total_amount"], address)
    shop.assert_nothing_left(quote)


def test_without_an_address_it_waits_for_one_and_staff_are_told(shop: Shop) -> None:
    quote = big(shop)
    deposit(shop, quote, quote["total_amount"])
    shop.run(quote, "paid")
    OnchainPayment.objects.filter(order=quote["order_id"]).update(payers=[address_script(PAYER)])
    ban(BanKind.PAYER, PAYER)
    shop.run(quote, "rejected", timeout=20)
    until_refund(shop, quote, "due")
    assert [flag.kind for flag in shop.order(quote).standing] == ["refund_needed"]
    assert shop.seen(quote)["refund_needed"]


# Limits


def test_what_is_beyond_a_nodes_limit_is_given_up_before_any_attempt_and_goes_back(shop: Shop, settings: Any) -> None:
    """Two orders named the node at purchase, when it had room for either."""
    first, second = (shop.buy(node_uri=shop.wallet.p2p_address) for _ in range(2))
    settings.MOST_NODE_SAT = 500_000 + sum(
        order.capacity_sat for order in ChannelOrder.objects.filter(node_pubkey=shop.wallet.pubkey, state="open")
    )
    shop.pay(first)
    shop.run(first, "opening")
    shop.pay(second)
    shop.run(second, "give_up")
    assert shop.order(second).give_up_reason == "NODE_LIMIT" and not shop.order(second).openings.exists()
    ChannelOrder.objects.filter(pk=second["order_id"]).update(give_up_until=timezone.now())
    shop.hurry(second)
    shop.run(second, "refunded", timeout=20)
    shop.run(first, "open", mine=True)
    shop.assert_delivered(first)


def test_an_order_waits_for_the_rate_that_its_limit_needs(shop: Shop, settings: Any) -> None:
    quote = shop.buy(node_uri=shop.wallet.p2p_address)
    shop.pay(quote)
    settings.MOST_NODE_IN_CURRENCY, settings.RATE_SOURCE = 1_000, "nowhere.at_all"
    shop.run(quote, "uri_set")
    shop.hurry(quote)
    shop.turn()
    assert shop.order(quote).last_failure_reason == "LSP_BUSY" and not shop.order(quote).openings.exists()
    settings.MOST_NODE_IN_CURRENCY = 0
    shop.hurry(quote)
    shop.run(quote, "open", mine=True)
