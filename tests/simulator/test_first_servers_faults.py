"""Where the first server of this API lost money, opened twice or forgot: the same situations, and nothing of it.

Each test is named by the fault's number in docs/conformance.md. Faults that need no node are in tests/integration.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from lightning.node import LndNode
from orders import queries, reconcile
from orders.models import ChannelOrder
from orders.openings import opening
from orders.payments.lightning import holding
from simulator import control as faults
from streams.jobs import advance_if_due
from tests.e2e.shop import Shop
from tests.regtest.payment import FAILED, SUCCEEDED

Quote = dict[str, Any]
UNKNOWN = "a sentence that no table knows"


class Killed(BaseException):
    """Our process died here."""


@pytest.fixture(autouse=True)
def no_faults_left(shop: Shop) -> Any:
    yield
    network: Any = shop.network
    network.lsp.control.end_faults()


def paid_for(shop: Shop, peer: Any) -> Quote:
    """An order that is opened at the next look, its payment held."""
    quote = shop.buy(node_uri=peer.p2p_address)
    shop.pay(quote)
    return quote


def one_pass(shop: Shop) -> None:
    """Every order once, as the first server's loop and as our engines do."""
    ChannelOrder.objects.update(due_at=timezone.now())
    reconcile.look(shop.node)
    for order_id in queries.due_ids(timezone.now()):
        advance_if_due(order_id)


def fundings(shop: Shop, quote: Quote) -> list[Any]:
    return [each for each in shop.network.lsp.transactions() if each.label == f"funding:{quote['order_id']}"]


@pytest.mark.parametrize("first", [0, 1], ids=["before", "after"])
def test_d1_a_failure_in_the_same_pass_never_opens_the_others_again(
    shop: Shop, add_peer: Any, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    quotes = [paid_for(shop, add_peer()) for _ in range(2)]
    opened, broken = quotes[first], quotes[1 - first]
    attempt = opening.attempt

    def breaks_for_one(order: ChannelOrder, node: LndNode, *more: Any) -> None:
        if str(order.pk) == broken["order_id"]:
            raise ZeroDivisionError
        attempt(order, node, *more)

    with monkeypatch.context() as patch:
        patch.setattr(opening, "attempt", breaks_for_one)
        for _ in range(3):
            one_pass(shop)
            shop.network.mine(1)
        assert shop.order(opened).openings.count() == len(fundings(shop, opened)) == 1
        assert shop.order(broken).state == "uri_set" and not fundings(shop, broken)
    shop.network.mine(6)
    one_pass(shop)
    assert len(fundings(shop, broken)) == 1


@pytest.mark.parametrize(
    "words", ["chan size of 0.005 BTC exceeds maximum chan size of 0.004 BTC", "Synchronizing blockchain", UNKNOWN]
)
def test_d2_a_refused_opening_is_written_down_whatever_the_peer_says(shop: Shop, add_peer: Any, words: str) -> None:
    peer = add_peer()
    with peer.refusing_channels(words):
        quote = paid_for(shop, peer)
        one_pass(shop)
        one_pass(shop)
        order = shop.order(quote)
        attempts = [(each.state, bool(each.failure_reason)) for each in order.openings.all()]
        assert attempts and set(attempts) == {("failed", True)}
        assert order.give_up_reason if order.state == "give_up" else order.last_failure_reason
        assert order.state in {"give_up", "uri_set"} and not fundings(shop, quote)
    shop.assert_journal_whole(quote)


def test_d4_a_payment_that_arrives_while_we_die_is_held_and_found(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    quote = shop.buy()
    payment = shop.pay(quote)

    def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(holding, "hold", dies)
        with pytest.raises(Killed):
            shop.turn()
    assert shop.order(quote).state == "created"
    assert payment.status() not in {SUCCEEDED, FAILED}  # held: the crash has cost the buyer nothing
    shop.turn()
    assert shop.order(quote).state == "paid"


def test_d4_a_payment_is_settled_only_when_its_funding_is_recorded_as_published(
    shop: Shop, add_peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []
    settle = LndNode.settle_invoice

    def dies_having_settled(node: LndNode, preimage: bytes) -> None:
        order = ChannelOrder.objects.get()
        seen.append((order.state, order.openings.get().state))
        settle(node, preimage)
        if len(seen) == 1:
            raise Killed

    monkeypatch.setattr(LndNode, "settle_invoice", dies_having_settled)
    quote = paid_for(shop, add_peer())
    with pytest.raises(Killed):
        shop.turn()
    for _ in range(2):
        one_pass(shop)
    assert set(seen) == {("opening", "published")}
    assert shop.order(quote).hold_invoice.state == "settled"
    assert shop.journal(quote).count("payment_settled") == 1


def test_d5_a_payment_that_cannot_be_settled_any_more_buys_no_channel(shop: Shop, add_peer: Any) -> None:
    peer = add_peer()
    peer.kill()
    quote = paid_for(shop, peer)
    one_pass(shop)
    assert shop.order(quote).state == "uri_set"
    shop.node.cancel_invoice(shop.order(quote).hold_invoice.payment_hash)  # as lnd does when a hold runs out
    peer.start()
    for _ in range(3):
        one_pass(shop)
    assert shop.order(quote).state == "refunded"
    assert not fundings(shop, quote) and not shop.order(quote).openings.exists()


def test_d5_a_settling_that_fails_is_neither_cancelled_nor_taken_for_done(shop: Shop, add_peer: Any) -> None:
    network: Any = shop.network
    quote = paid_for(shop, add_peer())
    network.lsp.control.add_fault("SettleInvoice", faults.FAIL, text=UNKNOWN, times=3)
    for _ in range(2):
        one_pass(shop)
        assert shop.order(quote).hold_invoice.state == "held"
    for _ in range(3):
        one_pass(shop)
    assert shop.order(quote).hold_invoice.state == "settled"
    assert shop.node.invoice(shop.order(quote).hold_invoice.payment_hash).state == "settled"


def test_d6_a_deposit_made_in_time_counts_however_late_it_confirms(shop: Shop) -> None:
    quote = shop.buy()
    shop.network.chain.send(quote["btc_address"], quote["total_amount"])
    one_pass(shop)
    ChannelOrder.objects.update(expires_at=timezone.now())  # as the first server's fifteen minutes
    for _ in range(3):
        one_pass(shop)
    assert shop.order(quote).state == "created"
    shop.network.mine(1)
    one_pass(shop)
    assert shop.order(quote).state == "paid"


def test_d6_a_deposit_made_too_late_is_told_and_can_still_buy_the_channel(shop: Shop) -> None:
    quote = shop.buy()
    ChannelOrder.objects.update(expires_at=timezone.now())
    for _ in range(3):
        one_pass(shop)
    assert shop.order(quote).state == "expired"
    shop.network.chain.send(quote["btc_address"], quote["total_amount"])
    shop.network.mine(1)
    one_pass(shop)
    assert shop.seen(quote)["paid_late"] and shop.order(quote).state == "paid" and not shop.order(quote).needs_staff


def test_d7_no_unconfirmed_deposit_pays_an_order_whatever_its_size_or_number(shop: Shop) -> None:
    quotes = [shop.buy() for _ in range(4)]
    shop.network.chain.pay([(quote["btc_address"], 3 * quote["total_amount"]) for quote in quotes])
    for _ in range(2):
        one_pass(shop)
    assert {shop.order(quote).state for quote in quotes} == {"created"}
    assert all(shop.seen(quote)["onchain_payments"] for quote in quotes)
    shop.network.mine(1)
    one_pass(shop)
    assert {shop.order(quote).state for quote in quotes} == {"paid"}


def test_d10_an_invoice_cannot_be_paid_after_its_order_has_ended(shop: Shop, settings: Any) -> None:
    """Even where nobody of ours is there to cancel it: the first server's lived for a day."""
    network: Any = shop.network
    early, late = shop.buy(), shop.buy()
    network.lsp.control.pass_time(settings.ORDER_LIFETIME_SECONDS - 60)
    shop.pay(early)  # is held
    network.lsp.control.pass_time(120)
    assert network.buyer.pay(late["ln_invoice"]).wait() == FAILED


@pytest.mark.parametrize("part", [0.5, 2])
def test_d16_a_deposit_of_another_amount_is_told_and_what_is_too_little_pays_nothing(shop: Shop, part: float) -> None:
    quote = shop.buy()
    shop.network.chain.send(quote["btc_address"], int(quote["total_amount"] * part))
    shop.network.mine(1)
    one_pass(shop)
    said = shop.seen(quote)
    assert (said["underpaid"], said["overpaid"]) == (part < 1, part > 1)
    assert said["state_name"] == ("CREATED" if part < 1 else "PAID")
    assert shop.order(quote).needs_staff is (part > 1)
