"""Channels that end early: who closed them, whether they were of use, and what is proposed to go back."""

from __future__ import annotations

from typing import Any

import pytest

from orders import actors
from orders.models import Refund
from orders.operations import deciding
from tests.e2e.shop import Shop
from tests.e2e.test_refunds import FINAL, paid_out, somewhere, until_refund
from tests.regtest.waiting import until

#: A forced close of ours gives our side back after so many blocks at most.
DELAY = 150


def sold(shop: Shop, state: str = "open", **body: Any) -> dict[str, Any]:
    """Paid by Lightning, and its funding published; mined where it is to be open."""
    quote = shop.buy(local_balance=500_000, node_uri=shop.wallet.p2p_address, **body)
    shop.pay(quote)
    if state == "open":
        shop.run(quote, "open", mine=True)
    else:
        shop.run(quote, "opening")
        until(lambda: shop.turn() or "payment_settled" in shop.journal(quote), "the funding is published")
    return quote


def point_of(shop: Shop, quote: dict[str, Any]) -> str:
    return shop.opening(quote).funding_outpoint


def proposals(quote: dict[str, Any]) -> list[tuple[str, str, int]]:
    rows = Refund.objects.filter(order=quote["order_id"])
    return [(row.state, row.cause, row.amount_sat) for row in rows]


def flags(shop: Shop, quote: dict[str, Any]) -> list[str]:
    return [flag.kind for flag in shop.order(quote).standing]


def until_closed(shop: Shop, quote: dict[str, Any]) -> None:
    def over() -> bool:
        shop.hurry(quote)
        shop.turn()
        if shop.order(quote).state == "closed":
            return True
        shop.network.mine(1)
        return False

    until(over, "the channel is over", timeout=90, pause=0.3)


def closing_facts(shop: Shop, quote: dict[str, Any]) -> tuple[str, bool | None]:
    """The close's kind, and whether we did it, as the journal has them."""
    facts = shop.order(quote).events.get(cause="channel_closed").facts
    return facts["kind"], facts.get("by_us")


@pytest.mark.parametrize("force", [False, True])
def test_a_channel_that_its_peer_closes_once_it_was_usable_is_nobodys_case(shop: Shop, force: bool) -> None:
    quote = sold(shop)
    shop.wallet.close_channel(point_of(shop, quote), force=force)
    until_closed(shop, quote)
    kind = "remote_force_close" if force else "cooperative_close"
    assert closing_facts(shop, quote) == (kind, False)
    assert not proposals(quote) and not flags(shop, quote)
    shop.assert_journal_whole(quote)


def test_a_channel_that_we_close_soon_after_it_was_sold_is_a_case_and_its_fee_goes_back_once_granted(
    shop: Shop,
) -> None:
    address = somewhere()
    quote = sold(shop, refund_onchain_address=address)
    shop.network.lsp.close_channel(point_of(shop, quote))
    until_closed(shop, quote)
    assert closing_facts(shop, quote) == ("cooperative_close", True)
    order = shop.order(quote)
    assert proposals(quote) == [("proposed", "closed_early", order.fee_total_sat)]
    assert flags(shop, quote) == ["closed_early"]
    seen = shop.seen(quote)
    assert (seen["refund_amount"], seen["refund_needed"]) == (None, False)  # nothing is decided
    for _ in range(3):
        shop.hurry(quote)
        shop.turn()
    assert proposals(quote)[0][0] == "proposed"
    shop.network.mine(FINAL)
    until(lambda: shop.hurry(quote) or shop.turn() or not shop.order(quote).live_opening, "the funding is deep")
    deciding.grant(order.pk, actor=actors.staff("ada"))
    assert flags(shop, quote) == []
    until_refund(shop, quote, "published")
    shop.network.mine(FINAL)
    refund = until_refund(shop, quote, "done")
    assert refund.transaction is not None
    paid = paid_out(shop, refund.transaction.txid)
    assert paid[address] == order.fee_total_sat - refund.fee_sat
    seen = shop.seen(quote)
    assert (seen["state_name"], seen["refund_tx"]) == ("CLOSED", refund.transaction.txid)
    assert seen["refund_amount"] == paid[address]
    shop.assert_journal_whole(quote)


def test_our_forced_close_is_our_fault_too_and_counts_from_its_block_however_late_it_is_over(shop: Shop) -> None:
    quote = sold(shop)
    shop.network.lsp.close_channel(point_of(shop, quote), force=True)
    shop.run(quote, "closing")
    shop.network.mine(DELAY)
    until_closed(shop, quote)
    assert closing_facts(shop, quote) == ("local_force_close", True)
    assert proposals(quote) == [("proposed", "closed_early", shop.order(quote).fee_total_sat)]


def test_after_the_grace_our_own_close_is_nobodys_case(shop: Shop, settings: Any) -> None:
    settings.EARLY_CLOSE_GRACE_SECONDS = 0
    quote = sold(shop)
    shop.network.lsp.close_channel(point_of(shop, quote))
    until_closed(shop, quote)
    assert not proposals(quote) and not flags(shop, quote)


def test_a_channel_that_its_peer_closes_while_it_is_being_opened_is_a_case_less_what_the_chain_has_cost(
    shop: Shop,
) -> None:
    """The buyer's node has the first commitment, and may publish it at any time, the funding in no block."""
    quote = sold(shop, "opening")
    shop.wallet.close_channel(point_of(shop, quote), force=True)
    shop.network.mine(1)
    until_closed(shop, quote)
    order = shop.order(quote)
    assert closing_facts(shop, quote) == ("remote_force_close", False)
    funding = shop.opening(quote).transaction
    assert funding is not None
    cost_sat = max(funding.fee_sat, order.open_fee_sat) + order.close_fee_sat
    assert proposals(quote) == [("proposed", "closed_unused", order.fee_total_sat - cost_sat)]
    assert flags(shop, quote) == ["closed_unused"]
    assert len(order.openings.all()) == 1  # nobody opens another by himself
    deciding.decline(order.pk, reason="He closed it himself.", actor=actors.staff("ada"))
    assert proposals(quote)[0][0] == "withdrawn" and not flags(shop, quote)
    assert "refund_declined" in shop.journal(quote)


def test_a_channel_that_we_have_to_close_before_it_was_usable_is_a_case_for_all_that_was_paid_for_it(
    shop: Shop, add_peer: Any
) -> None:
    """The buyer's node is gone for good: the funding is mined, and the channel never active."""
    wallet = add_peer()
    quote = shop.buy(local_balance=500_000, node_uri=wallet.p2p_address)
    shop.pay(quote)
    shop.run(quote, "opening")
    until(lambda: shop.turn() or "payment_settled" in shop.journal(quote), "the funding is published")
    wallet.kill()
    shop.network.mine(FINAL)
    point = point_of(shop, quote)
    until(lambda: any(str(c.outpoint) == point for c in shop.node.channels()), "it is open, and not active")
    shop.turn()
    assert shop.order(quote).state == "opening"
    shop.network.lsp.close_channel(point, force=True)
    shop.run(quote, "closing")
    assert flags(shop, quote) == ["closed_unused"]
    shop.network.mine(DELAY)
    until_closed(shop, quote)
    assert closing_facts(shop, quote) == ("local_force_close", True)
    assert proposals(quote) == [("proposed", "closed_unused", shop.order(quote).fee_total_sat)]
