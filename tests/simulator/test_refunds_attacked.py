"""Whoever would have money twice, or a channel and his money, or would have it go elsewhere, has it once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning import transactions
from lightning.errors import Rejected
from lightning.node import LndNode
from lightning.types import Outpoint
from orders import actors, advance, marks, queries, reconcile
from orders.errors import NotPossible
from orders.models import ChannelOrder, Refund, WalletTransaction
from orders.operations import ending, giving_up, refunding
from orders.payments import onchain
from orders.states import RefundState
from orders.wallet.looking import LOOK_BACK_BLOCKS
from simulator.control import FAIL
from tests.e2e.shop import Shop
from tests.e2e.test_refunds import FINAL, big, deposit, refunds, somewhere, until_refund
from tests.regtest.waiting import until

ADA = actors.staff("ada")
SHORT_SAT = 60_000


@pytest.fixture(autouse=True)
def a_node_as_it_should_be(shop: Shop) -> Iterator[None]:
    yield
    shop.network.lsp.control.end_faults()
    shop.network.lsp.control.set_fees(2_530, 253)


def turns(shop: Shop, quote: dict[str, Any], times: int = 3, *, blocks: int = 0) -> None:
    for _ in range(times):
        shop.network.mine(blocks) if blocks else None
        shop.hurry(quote)
        shop.turn()


def say(shop: Shop, quote: dict[str, Any], address: str) -> None:
    token = quote["order_token"]
    shop.post("/channel/refund_address", order_id=quote["order_id"], order_token=token, refund_onchain_address=address)


def got(shop: Shop, address: str) -> list[int]:
    """What our wallet has sent there in all."""
    listed = shop.node.transactions(from_height=0)
    return [output.amount_sat for each in listed for output in each.outputs if output.address == address]


def kinds(shop: Shop, quote: dict[str, Any]) -> list[str]:
    return [flag.kind for flag in shop.order(quote).standing]


def older(**span: int) -> None:
    WalletTransaction.objects.filter(kind="refund").update(created_at=timezone.now() - timedelta(**span))


def expired(shop: Shop, settings: Any, **body: Any) -> dict[str, Any]:
    """At once: who only waits for the next look does not wait here."""
    settings.ORDER_LIFETIME_SECONDS = 1
    quote = big(shop, **body)
    until(lambda: turns(shop, quote, 1) or shop.order(quote).state == "expired", "it has expired")
    return quote


def due_of_what_came_late(shop: Shop, settings: Any, **body: Any) -> dict[str, Any]:
    quote = expired(shop, settings, **body)
    deposit(shop, quote, SHORT_SAT)
    until_refund(shop, quote, "due")
    return quote


def published(shop: Shop, settings: Any) -> tuple[dict[str, Any], Refund, str]:
    address = somewhere()
    quote = expired(shop, settings, refund_onchain_address=address)
    deposit(shop, quote, SHORT_SAT)
    return quote, until_refund(shop, quote, "published"), address


# By hand


def test_what_staff_have_returned_by_hand_does_not_go_back_once_more(shop: Shop, settings: Any) -> None:
    """The buyer says his address afterwards: it was due, and is not any more."""
    quote, address = due_of_what_came_late(shop, settings), somewhere()
    ending.record_returned(shop.order(quote).pk, actor=ADA)
    say(shop, quote, address)
    turns(shop, quote, 4, blocks=2)
    assert not got(shop, address)
    assert not Refund.objects.filter(order=quote["order_id"]).exclude(state="withdrawn").exists()


def test_what_was_kept_and_then_returned_by_hand_is_not_released(shop: Shop, settings: Any) -> None:
    quote, address = due_of_what_came_late(shop, settings), somewhere()
    order_id = shop.order(quote).pk
    refunding.keep(order_id, reason="he asked us to wait", actor=ADA)
    ending.record_returned(order_id, actor=ADA)
    say(shop, quote, address)
    with pytest.raises(NotPossible):
        refunding.release(order_id, actor=ADA)
    turns(shop, quote, 4, blocks=2)
    assert not got(shop, address)


def test_what_came_after_it_was_returned_by_hand_goes_back(shop: Shop, settings: Any) -> None:
    quote, address = due_of_what_came_late(shop, settings), somewhere()
    ending.record_returned(shop.order(quote).pk, actor=ADA)
    say(shop, quote, address)
    turns(shop, quote)
    deposit(shop, quote, 30_000)
    turns(shop, quote, 4, blocks=2)
    assert len(got(shop, address)) == 1 and 28_000 < got(shop, address)[0] < 30_000


# A channel and the money


def test_an_order_whose_money_is_on_its_way_back_is_not_revived(shop: Shop, settings: Any) -> None:
    quote, refund, _ = published(shop, settings)
    assert refund.transaction is not None
    shop.network.lsp.control.evict(refund.transaction.txid)
    deposit(shop, quote, quote["total_amount"])
    reconcile.look(shop.node)
    assert shop.order(quote).state == "expired"
    with pytest.raises(NotPossible):
        ending.revive(shop.order(quote).pk, actor=ADA)


def test_a_refund_of_all_is_not_taken_for_the_surplus_of_an_order_that_was_claimed_meanwhile(shop: Shop) -> None:
    """As much came once more as was due, and was deep in the moment of the claim: the sums are the same."""
    quote, address = big(shop), somewhere()
    deposit(shop, quote, quote["total_amount"])
    shop.run(quote, "paid")
    ChannelOrder.objects.filter(pk=quote["order_id"]).update(claim_expires_at=timezone.now())
    until_refund(shop, quote, "due")
    deposit(shop, quote, quote["total_amount"])
    reconcile.look(shop.node)
    shop.claim(quote)
    say(shop, quote, address)
    shop.run(quote, "open", mine=True)
    turns(shop, quote, 5, blocks=3)
    shop.assert_delivered(quote)
    assert [paid < quote["total_amount"] for paid in got(shop, address)] == [True]
    assert [(row.state, row.ends_order) for row in refunds(quote)] == [("withdrawn", True), ("done", False)]


def test_nothing_is_signed_for_an_order_whose_channel_our_records_have_lost(
    shop: Shop, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was due in the records that were put back, and was claimed and delivered since."""
    quote, address = due_of_what_came_late(shop, settings), somewhere()
    monkeypatch.setattr(advance.tracing, "find_trace", lambda order, node: object())
    say(shop, quote, address)
    turns(shop, quote, 4, blocks=1)
    assert not got(shop, address) and not WalletTransaction.objects.filter(kind="refund").exists()
    assert "trace_unknown" in kinds(shop, quote)


# Twice, or never


def test_a_signature_that_our_records_have_lost_and_the_next_one_spend_the_same_coin(shop: Shop, settings: Any) -> None:
    """Another process may still publish the first: the leases say what it spends."""
    quote, address = due_of_what_came_late(shop, settings), somewhere()
    coin = max(shop.node.coins(min_confirmations=FINAL), key=lambda each: each.amount_sat)
    shop.node.lease(coin.outpoint, lock_id=marks.refund_lock_id(shop.order(quote).pk), seconds=600)
    say(shop, quote, address)
    refund = until_refund(shop, quote, "published")
    assert refund.transaction is not None and str(coin.outpoint) in {row[0] for row in refund.transaction.inputs}


def test_a_version_that_a_reorganisation_took_back_is_followed_by_one_that_pays_more_than_all(
    shop: Shop, settings: Any
) -> None:
    quote, first, _ = published(shop, settings)
    older(hours=7)
    turns(shop, quote)
    assert first.transaction is not None
    shop.network.lsp.control.mine_only(raw=[bytes(first.transaction.raw or b"")])
    turns(shop, quote)
    shop.network.lsp.control.reorganise(1, [])
    older(hours=7)
    turns(shop, quote)
    fees = [row.fee_sat for row in WalletTransaction.objects.filter(kind="refund").order_by("id")]
    assert len(fees) > 2 and fees == sorted(set(fees))
    shop.network.mine(FINAL)
    until_refund(shop, quote, "done")
    assert "server_defect" not in kinds(shop, quote)


def test_a_refund_that_was_mined_and_then_excluded_is_due_again_and_says_so(shop: Shop, settings: Any) -> None:
    quote, first, _ = published(shop, settings)
    assert first.transaction is not None
    shop.network.mine(1)
    turns(shop, quote)
    assert shop.order(quote).state == "refunded" and shop.seen(quote)["refunded_at"]
    outpoint, amount_sat, _ = first.transaction.inputs[0]
    spend = (Outpoint.parse(outpoint), quote["btc_address"], amount_sat)
    rival = shop.node.finalize_psbt(transactions.own_psbt([spend], [(shop.node.new_address(), amount_sat - 500)]))
    shop.network.lsp.control.reorganise(1, [rival.raw])
    shop.network.mine(FINAL)
    until_refund(shop, quote, "published")
    assert not shop.seen(quote)["refunded_at"]
    shop.network.mine(FINAL)
    until_refund(shop, quote, "done")
    assert shop.seen(quote)["refunded_at"]


def test_a_refund_that_nobody_takes_is_told(shop: Shop, settings: Any) -> None:
    """A coin of it may be gone where our wallet does not see it: nothing but a person can help."""
    address = somewhere()
    quote = expired(shop, settings, refund_onchain_address=address)
    shop.network.lsp.control.add_fault("PublishTransaction", FAIL, text="a sentence that no table knows", times=0)
    deposit(shop, quote, SHORT_SAT)
    turns(shop, quote, 4)
    assert [row.state for row in refunds(quote)] == ["signed"]
    older(hours=2)
    turns(shop, quote)
    assert "refund_stuck" in kinds(shop, quote)
    shop.network.lsp.control.end_faults()
    until_refund(shop, quote, "published")
    assert "refund_stuck" not in kinds(shop, quote)


def test_what_of_it_would_be_spent_on_fees_waits_for_lower_ones(
    shop: Shop, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = LndNode.new_address
    quote, address = due_of_what_came_late(shop, settings), somewhere()
    taken: list[str] = []
    monkeypatch.setattr(LndNode, "new_address", lambda node: taken.append("") or whole(node))  # type: ignore[func-returns-value]
    for rate in (100_000, 110_000, 120_000):
        shop.network.lsp.control.set_fees(rate, 253)
        say(shop, quote, address)
        turns(shop, quote)
    assert refunds(quote)[0].state == "due" and "refund_stuck" in kinds(shop, quote)
    assert not taken, "an address of the wallet's at each look"
    assert shop.journal(quote).count("needs_staff") < 6, "a line of the journal at each look"
    shop.network.lsp.control.set_fees(2_530, 253)
    refund = until_refund(shop, quote, "published")
    assert refund.fee_sat < SHORT_SAT // 10 and "refund_stuck" not in kinds(shop, quote)


def test_no_version_gives_most_of_it_for_its_fee(shop: Shop, settings: Any) -> None:
    quote, _, _ = published(shop, settings)
    for _ in range(3):
        shop.network.lsp.control.set_fees(100_000, 253)
        older(hours=7)
        turns(shop, quote)
    shop.network.lsp.control.set_fees(2_530, 253)
    assert max(row.fee_sat for row in WalletTransaction.objects.filter(kind="refund")) <= SHORT_SAT // 2


def test_a_surplus_that_cannot_go_back_keeps_no_order_from_its_channel(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(order_id: Any, node: Any) -> None:
        raise Rejected("the wallet does not sign today")

    quote = big(shop, refund_onchain_address=somewhere())

    monkeypatch.setattr(onchain, "finish_return", refused)
    deposit(shop, quote, quote["total_amount"] + SHORT_SAT)
    shop.run(quote, "paid")
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    assert refunds(quote)[0].state == "due"


def test_what_was_kept_of_an_order_that_is_delivered_after_all_keeps_no_surplus(shop: Shop) -> None:
    """It was kept for a claim that may come, and that came."""
    quote, address = big(shop), somewhere()
    deposit(shop, quote, quote["total_amount"])
    shop.run(quote, "paid")
    ChannelOrder.objects.filter(pk=quote["order_id"]).update(claim_expires_at=timezone.now())
    until_refund(shop, quote, "due")
    refunding.keep(shop.order(quote).pk, reason="he asked us to wait", actor=ADA)
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    say(shop, quote, address)
    deposit(shop, quote, SHORT_SAT)
    until_refund(shop, quote, "published", number=1)
    assert len(got(shop, address)) == 1
    assert Refund.objects.filter(order=quote["order_id"], state=RefundState.KEPT).count() == 0


# While it runs


def test_that_a_refund_is_in_a_block_is_known_with_the_block(shop: Shop, settings: Any) -> None:
    """Its deposit is so old that no block brings news of it."""
    quote = expired(shop, settings, refund_onchain_address=somewhere())
    deposit(shop, quote, SHORT_SAT, blocks=FINAL + LOOK_BACK_BLOCKS)
    until_refund(shop, quote, "published")
    ChannelOrder.objects.filter(pk=quote["order_id"]).update(due_at=timezone.now() + timedelta(minutes=5))
    shop.network.mine(1)
    reconcile.new_block(shop.node)
    for order_id in queries.due_ids(timezone.now()):
        advance.advance(order_id)
    assert shop.seen(quote)["refunded_at"] and shop.order(quote).state == "refunded"


def test_staff_who_try_again_after_it_is_signed_are_refused(shop: Shop) -> None:
    quote = big(shop, refund_onchain_address=somewhere())
    deposit(shop, quote, quote["total_amount"])
    shop.run(quote, "paid")
    shop.claim(quote)
    giving_up.give_up(shop.order(quote).pk, reason="PEER_NOT_REACHABLE", actor=ADA)
    ChannelOrder.objects.filter(pk=quote["order_id"]).update(give_up_until=timezone.now())
    until_refund(shop, quote, "published")
    for deed in (giving_up.retry, ending.cancel, ending.record_returned):
        with pytest.raises(NotPossible):
            deed(shop.order(quote).pk, actor=ADA)  # type: ignore[operator]
