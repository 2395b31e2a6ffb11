"""What a shop earns is what both nodes' wallets say: channels that are sold, bumped and closed, forwards, a refund."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from orders import figures
from orders.figures import Earnings, Parts, Period
from orders.models import ForwardDay, Refund, WalletTransaction
from orders.rollups import keeping
from tests.e2e.shop import Shop
from tests.e2e.test_books import at_rest, until_bumped
from tests.e2e.test_refunds import deposit, somewhere, until_refund
from tests.regtest.payment import SUCCEEDED
from tests.regtest.waiting import until

CHANNELS, FORWARDS = 10, 3
COIN_SAT, COINS = 1_000_000, CHANNELS + 4
LOCAL_SAT, PUSHED_SAT, PAID_SAT = 400_000, 50_000, 60_000


def worth_sat(lsp: Any, wallet_sat: int) -> int:
    """All that is the node's: its coins, and its side of each channel, with what it set aside for closing it.

    Told from the other's side: a peer that has no output has no anchor either, and its 330 sat are in the commit fee.
    """
    sides = sum(
        each.capacity - each.remote_balance if each.initiator else each.local_balance for each in lsp.channels()
    )
    return int(wallet_sat + sides)


def earned(shop: Shop) -> Earnings:
    now = timezone.now()
    keeping.keep(shop.node, now)
    return figures.earnings(Period(now - timedelta(days=2), now), now, limit=100)


def wallet_fees(lsp: Any, *, label: str) -> int:
    """What the node's wallet says that these have cost, in millisatoshis."""
    return sum(each.total_fees for each in lsp.transactions() if each.label.startswith(label)) * 1000


@pytest.mark.long
def test_the_profit_of_ten_channels_is_what_both_nodes_wallets_come_to(
    shop: Shop, settings: Any, add_own: Callable[..., Any], add_peer: Callable[..., Any]
) -> None:
    payer = shop.wallet
    lsp = add_own(funded_sat=COIN_SAT, coins=COINS)
    settings.LND_GRPC, settings.LND_TLS_CERT = lsp.grpc_address, str(lsp.tls_certificate)
    settings.LND_MACAROON = str(lsp.admin_macaroon)
    customer = add_peer()
    payer.open_channel(lsp, 5_000_000)  # public: nobody is told a way through a node that nobody knows
    shop.network.mine(6)
    before_sat = worth_sat(lsp, lsp.balance().confirmed_sat)
    assert before_sat == COINS * COIN_SAT

    quotes = sell_nine(shop, settings, payer, customer)
    last, refund = sell_on_chain(shop, customer)
    quotes.append(last)

    # Others are paid through them: the payer's wallet says for what.
    until(lambda: all(shop.channel_at(customer, each).active for each in quotes), "the channels are usable")
    routing_msat = 0
    for _ in range(FORWARDS * CHANNELS):
        routing_msat += passed_on(payer, customer)
    assert routing_msat > FORWARDS * CHANNELS * 1000

    shop.network.mine(6)
    customer.close_channel(shop.opening(quotes[3]).funding_outpoint)
    shop.run(quotes[3], "closed", mine=True)
    held = at_rest(shop)
    until(lambda: shop.turn() or len(lsp.channels()) == CHANNELS, "nine are left, and the payer's")

    told = earned(shop)
    assert told.channels == CHANNELS
    assert told.total.routing_msat == routing_msat
    sold_sat = sum(quote["total_amount"] for quote in quotes) - PUSHED_SAT
    assert told.total.sale_fees_msat == sold_sat * 1000
    assert told.total.open_cost_msat == wallet_fees(lsp, label="funding:") > 0
    assert told.total.refund_cost_msat == wallet_fees(lsp, label="refund:") == refund.fee_sat * 1000
    assert told.total.refund_borne_msat == told.total.refund_cost_msat
    assert told.total.bump_cost_msat > 0 and told.total.close_cost_msat > 0
    assert (told.total.losses_msat, told.unpaid_msat, told.total.capital_cost_msat) == (0, 0, 0)

    # By hand: what the node has now, less what it had. LND tells of each channel the whole satoshis, and what is below
    # one of both sides is lost when it is closed.
    made_msat = (worth_sat(lsp, held.balance_sat) - before_sat) * 1000
    assert abs(told.total.profit_msat - made_msat) < 1000 * (CHANNELS + 1), told.total
    assert sum((each.parts.routing_msat for each in told.rows), 0) == routing_msat
    assert told.total == _together(told)
    assert keeping.keep(shop.node, timezone.now()) == "forwards=0", "each was read once"
    assert sum(ForwardDay.objects.values_list("forwards", flat=True)) == FORWARDS * CHANNELS


def sell_nine(shop: Shop, settings: Any, payer: Any, customer: Any) -> list[dict[str, Any]]:
    """All but the first are sold at once; the funding of the first is bumped."""
    quotes = [sell(shop, payer, customer)]
    settings.BUMP_AFTER_SECONDS = 0
    shop.run(quotes[0], "opening")
    until_bumped(shop, quotes[0])
    settings.BUMP_AFTER_SECONDS = 3600
    shop.run(quotes[0], "open", mine=True)
    for _ in range(CHANNELS - 2):
        quotes.append(sell(shop, payer, customer))
        shop.run(quotes[-1], "opening")
        until(lambda: shop.turn() or "payment_settled" in shop.journal(quotes[-1]), "the funding is published")
    for quote in quotes:
        shop.run(quote, "open", mine=True)
    return quotes


def sell_on_chain(shop: Shop, customer: Any) -> tuple[dict[str, Any], Refund]:
    """With a balance of the customer's; too much was paid, and goes back."""
    quote = shop.buy(local_balance=LOCAL_SAT, remote_balance=PUSHED_SAT, refund_onchain_address=somewhere())
    deposit(shop, quote, quote["total_amount"] + 70_000)
    shop.run(quote, "paid")
    shop.claim(quote, customer)
    shop.run(quote, "open", mine=True)
    return quote, until_refund(shop, quote, "published")


def sell(shop: Shop, payer: Any, customer: Any) -> dict[str, Any]:
    quote = shop.buy(local_balance=LOCAL_SAT)
    shop.pay(quote, payer)
    shop.run(quote, "paid")
    shop.claim(quote, customer)
    return quote


def passed_on(payer: Any, customer: Any) -> int:
    """What the payer has paid for it, in millisatoshis; tried again until it has heard of the way."""
    fees = []

    def paid() -> bool:
        payment = payer.pay(customer.invoice(PAID_SAT, private=True))
        if payment.wait() == SUCCEEDED:
            fees.append(int(payment.fee_msat))
        return bool(fees)

    until(paid, "the customer is paid", timeout=60, pause=1)
    return fees[0]


def _together(told: Earnings) -> Parts:
    assert WalletTransaction.objects.filter(state__in=["drafted", "signed", "published"]).count() == 0
    return sum((each.parts for each in told.rows), told.beside)
