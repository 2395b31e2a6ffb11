"""Money that comes late, twice, short or too much: recorded, flagged, never lost."""

from __future__ import annotations

from typing import Any

import pytest

from orders import actors
from orders.errors import NotPossible
from orders.operations import ending
from orders.payments import judging
from tests.e2e.shop import Shop
from tests.regtest.payment import FAILED, SUCCEEDED
from tests.regtest.waiting import until


def look(shop: Shop, quote: dict[str, Any], **expected: Any) -> None:
    """The engines turn until the order's fields are so."""

    def there() -> bool:
        shop.turn()
        order = shop.order(quote)
        return {name: getattr(order, name) for name in expected} == expected

    until(there, f"the order is {expected}", timeout=30)


def test_a_deposit_after_the_end_that_costs_too_much_by_now_is_told_and_staff_revive_the_order(
    shop: Shop, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first server never credited a payment that confirmed after fifteen minutes (D6)."""
    settings.ORDER_LIFETIME_SECONDS = 1
    monkeypatch.setattr(judging, "is_outpriced", lambda order, now: True)
    quote = shop.buy()
    shop.run(quote, "expired", timeout=30)
    shop.network.chain.send(quote["btc_address"], quote["total_amount"])
    look(shop, quote, paid_late=True, needs_staff=True)
    with pytest.raises(NotPossible):
        ending.revive(shop.order(quote).pk, actor=actors.staff("ada"))  # it is not mined yet
    shop.network.mine(1)
    until(lambda: shop.turn() or shop.seen(quote)["onchain_payments"][0]["confirmed"], "it is mined")
    ending.revive(shop.order(quote).pk, actor=actors.staff("ada"))
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    shop.assert_delivered(quote)
    assert "late_payment_accepted" in shop.journal(quote)


def test_a_deposit_made_in_time_keeps_the_order_until_it_counts(shop: Shop, settings: Any) -> None:
    settings.ORDER_LIFETIME_SECONDS = 2
    quote = shop.buy()
    shop.network.chain.send(quote["btc_address"], quote["total_amount"])
    until(lambda: shop.turn() or shop.seen(quote)["onchain_payments"], "it is seen")
    hash_ = shop.order(quote).hold_invoice.payment_hash
    until(lambda: shop.turn() or shop.node.invoice(hash_).state == "canceled", "the invoice is dead", timeout=30)
    for _ in range(3):
        shop.hurry(quote)
        shop.turn()
    assert shop.order(quote).state == "created"
    shop.network.mine(1)
    shop.run(quote, "paid")


def test_what_arrives_on_chain_after_a_lightning_payment_is_flagged(shop: Shop) -> None:
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    shop.network.chain.send(quote["btc_address"], 10_000)
    look(shop, quote, overpaid=True, needs_staff=True)
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    assert [p["amount_base"] for p in shop.seen(quote)["onchain_payments"]] == [10_000]


def test_an_invoice_of_an_order_paid_on_chain_cannot_be_paid_too(shop: Shop) -> None:
    quote = shop.buy()
    shop.network.chain.send(quote["btc_address"], quote["total_amount"])
    shop.network.mine(1)
    shop.run(quote, "paid")
    hash_ = shop.order(quote).hold_invoice.payment_hash
    until(lambda: shop.turn() or shop.node.invoice(hash_).state == "canceled", "the invoice is dead")
    assert shop.wallet.pay(quote["ln_invoice"]).wait() == FAILED


def test_too_little_is_flagged_and_the_rest_completes_it_and_more_is_flagged_again(shop: Shop) -> None:
    """The first server told nobody of a part payment, and kept a surplus (D16)."""
    quote = shop.buy()
    shop.network.chain.send(quote["btc_address"], quote["total_amount"] - 1_000)
    look(shop, quote, underpaid=True, state="created")
    shop.network.chain.send(quote["btc_address"], 1_500)
    shop.network.mine(1)
    look(shop, quote, state="paid", underpaid=False, overpaid=True, needs_staff=True)
    assert ["500 sat" in flag.words for flag in shop.order(quote).standing] == [True]


def test_a_deposit_that_a_reorganisation_takes_back_counts_from_its_new_block(shop: Shop) -> None:
    quote = shop.buy()
    shop.network.chain.send(quote["btc_address"], quote["total_amount"])
    shop.network.mine(1)
    shop.run(quote, "paid")
    before = shop.seen(quote)["onchain_payments"][0]["height"]
    shop.network.reorganise(1, [])
    look(shop, quote, needs_staff=True)
    shop.claim(quote)
    shop.turn()
    assert "opening_begun" not in shop.journal(quote)
    shop.network.mine(1)
    shop.hurry(quote)
    shop.run(quote, "open", mine=True)
    assert shop.seen(quote)["onchain_payments"][0]["height"] > before
    shop.assert_delivered(quote)
