"""The books beside a node's own wallet, to the satoshi: whatever the node makes of what we ask of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command

from orders.auditing import checking
from orders.auditing.checking import Held
from orders.auditing.wallet import Category
from orders.models import Account, Entry, Leg, WalletTransaction
from tests.e2e.shop import Shop
from tests.e2e.test_refunds import FINAL, deposit, somewhere, until_refund
from tests.regtest.waiting import until

#: The simulated node's wallet is asked the same in every run (tests/simulator/test_books.py).
pytestmark = pytest.mark.long

COINS, EACH_SAT = 3, 1_000_000
OWN_SAT = COINS * EACH_SAT


def own_node(shop: Shop, settings: Any, add_own: Callable[..., Any]) -> tuple[Any, Any]:
    """The shop sells from a node with a wallet that no other test has used; and who pays it, and buys of it."""
    lsp = add_own(funded_sat=EACH_SAT, coins=COINS)
    settings.LND_GRPC, settings.LND_TLS_CERT = lsp.grpc_address, str(lsp.tls_certificate)
    settings.LND_MACAROON = str(lsp.admin_macaroon)
    if hasattr(lsp, "add_peer"):  # each simulator has customers of its own
        return lsp, lsp.add_peer()
    shop.wallet.open_channel(lsp, 1_000_000, private=True)
    return lsp, shop.wallet


def until_bumped(shop: Shop, quote: dict[str, Any]) -> None:
    """A child that pays for the funding is in the wallet."""
    until(lambda: shop.hurry(quote) or shop.turn() or "funding_bumped" in shop.journal(quote), "it is bumped")
    funding = WalletTransaction.objects.get(kind="funding")
    spends = f"{funding.txid}:{funding.change_index}"
    until(
        lambda: any(spends in map(str, tx.inputs) for tx in shop.node.transactions(from_height=0)),
        "the wallet has the child",
        timeout=60,
    )


def at_rest(shop: Shop) -> Held:
    """All is deep, and adds up: nothing is wrong, nothing under way, and the wallet has what its transactions leave."""
    shop.network.mine(FINAL)
    until(lambda: shop.turn() or not _unfinished(), "nothing is under way")
    report = checking.check(shop.node)
    assert report.adds_up, checking.facts(report, whole_ids=True)
    assert report.node is not None
    assert (report.node.unmined, report.node.unsettled_sat, report.node.difference_sat) == (0, 0, 0), report.node
    assert -report.balances[Account.BUYERS_HELD] == report.balances[Account.LOSSES] == 0
    return report.node


def _unfinished() -> bool:
    return WalletTransaction.objects.filter(state__in=["drafted", "signed", "published"]).exists()


def test_what_was_sold_bumped_overpaid_and_sent_back_is_in_the_wallet_as_in_the_books(
    shop: Shop, settings: Any, add_own: Callable[..., Any]
) -> None:
    lsp, buyer = own_node(shop, settings, add_own)

    quote = shop.buy(remote_balance=50_000)
    payment = shop.pay(quote, buyer)
    shop.run(quote, "paid")
    settings.BUMP_AFTER_SECONDS = 0
    shop.claim(quote, buyer)
    shop.run(quote, "opening")
    until_bumped(shop, quote)
    settings.BUMP_AFTER_SECONDS = 3600
    shop.run(quote, "open", mine=True)
    payment.wait()

    other = shop.buy(local_balance=300_000, remote_balance=60_000, refund_onchain_address=somewhere())
    deposit(shop, other, other["total_amount"] + 70_000)
    shop.run(other, "paid")
    shop.claim(other, buyer)
    shop.run(other, "open", mine=True)
    until_refund(shop, other, "published")

    held = at_rest(shop)
    counts = {category: count for category, (count, _) in held.categories.items() if category.value != "not_ours"}
    assert counts == {Category.FUNDING: 2, Category.CHILD: 1, Category.DEPOSIT: 1, Category.REFUND: 1}
    assert Entry.objects.filter(kind="child").count() == 1
    assert held.categories[Category.NOT_OURS][1] == OWN_SAT  # what the node was given to begin with
    assert held.balance_sat == sum(sat for _, sat in held.categories.values())
    in_the_books = sum(leg.amount_msat for leg in Leg.objects.filter(account="wallet")) // 1000
    assert held.balance_sat == OWN_SAT + in_the_books

    buyer.close_channel(shop.opening(quote).funding_outpoint)
    shop.run(quote, "closed", mine=True)
    held = at_rest(shop)
    assert held.categories[Category.CLOSE][0] == 1
    assert Entry.objects.filter(kind="close", order=quote["order_id"]).count() == 1
    left = Leg.objects.filter(account="channels", entry__order=quote["order_id"])
    assert sum(leg.amount_msat for leg in left) == 0

    if hasattr(lsp, "send_coins"):  # what other software does with the same wallet
        before, before_sat = held.categories[Category.NOT_OURS]
        lsp.send_coins(somewhere(), 40_000)
        held = at_rest(shop)
        assert held.categories[Category.NOT_OURS][0] == before + 1
        assert held.categories[Category.NOT_OURS][1] < before_sat - 40_000
        assert held.balance_sat == lsp.balance().confirmed_sat
    call_command("check_books")  # leaves with 1 where something does not add up
