"""Chain fees that rise between quote and claim, and coins made into others: on a node's own wallet and chain."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from lightning.node import LndNode
from lightning.types import FeeRates
from orders import reconcile
from orders.models import WalletTransaction
from orders.states import TransactionState
from orders.wallet import budget
from tests.e2e.shop import Shop
from tests.e2e.test_coins import OWN_SAT, receive, small_node
from tests.regtest.payment import SUCCEEDED
from tests.regtest.waiting import until

USUAL, SPIKE = FeeRates(2_500, 253), FeeRates(300 * 2_500, 253)


def fees(monkeypatch: pytest.MonkeyPatch, rates: FeeRates) -> None:
    """What the node estimates from now on; it funds at whatever rate we name."""
    monkeypatch.setattr(LndNode, "fee_rates", lambda self, *, conf_target: rates)


def test_found_a3_a_claim_in_a_spike_waits_and_is_opened_within_its_budget(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    fees(monkeypatch, USUAL)
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    fees(monkeypatch, SPIKE)
    shop.claim(quote)
    until(lambda: shop.turn() or shop.order(quote).last_failure_reason, "it waits")
    assert shop.order(quote).last_failure_reason == "FEE_ABOVE_BUDGET"
    assert shop.order(quote).openings.count() == 0
    fees(monkeypatch, USUAL)
    shop.hurry(quote)
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    assert (
        WalletTransaction.objects.get().fee_sat <= shop.order(quote).fee_budget_sat <= shop.order(quote).fee_total_sat
    )


def test_control_without_the_budget_the_spike_is_paid_by_us(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "objection", lambda *given, **named: None)
    fees(monkeypatch, USUAL)
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    fees(monkeypatch, SPIKE)
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    assert WalletTransaction.objects.get().fee_sat > 20 * shop.order(quote).fee_total_sat


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("coins", *arguments, stdout=out)
    return out.getvalue()


def until_deep(shop: Shop, row: WalletTransaction) -> None:
    def is_deep() -> bool:
        shop.network.mine(1)
        reconcile.reconcile()
        row.refresh_from_db()
        return row.state == TransactionState.DEEP

    until(is_deep, "it is deep", timeout=60)


def deep_sat(shop: Shop) -> list[int]:
    return sorted(coin.amount_sat for coin in shop.node.coins(min_confirmations=6))


def test_coins_are_split_and_consolidated_again(shop: Shop, settings: Any, add_own: Callable[..., Any]) -> None:
    lsp = small_node(settings, add_own)
    receive(shop, lsp.new_address(taproot=True), OWN_SAT)  # as LND's own change is
    reconcile.look(shop.node)
    run("--split", "5", "--each", "100000", "--yes")
    split = WalletTransaction.objects.get()
    assert len(split.inputs) == 2
    until_deep(shop, split)
    assert deep_sat(shop)[-5:] == [100_000] * 5
    assert sum(deep_sat(shop)) == 2 * OWN_SAT - split.fee_sat
    run("--consolidate", "--below", "1000", "--smaller-than", "1000000", "--yes")
    merged = WalletTransaction.objects.get(kind="consolidation")
    until_deep(shop, merged)
    assert deep_sat(shop) == [2 * OWN_SAT - split.fee_sat - merged.fee_sat]
    assert not shop.node.leases()


def test_what_cannot_be_spent_is_told_with_the_reason(shop: Shop, settings: Any, add_own: Callable[..., Any]) -> None:
    lsp = small_node(settings, add_own)
    receive(shop, lsp.watch_address(), 1_000_000)
    receive(shop, lsp.new_address(nested=True), 2_000_000)
    shop.network.chain.pay([(lsp.new_address(), 3_000_000)])
    shop.network.mine(1)
    until(lambda: len(shop.node.coins(min_confirmations=1)) == 3, "the wallet has seen them")
    said = " ".join(run().split())
    assert f"deep 1 {OWN_SAT:,} sat can fund channels" in said
    assert "young 1 3,000,000 sat" in said and "nested 1 2,000,000 sat" in said and "foreign 1 1,000,000 sat" in said
    assert "at once 1 channels" in said
