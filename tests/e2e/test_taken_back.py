"""What a real chain and a real node do to a payment after it was seen: taken back by blocks, replaced, or cut off."""

from __future__ import annotations

from typing import Any

from lightning.errors import LightningError
from lightning.node import LndNode
from orders import actors
from orders.models import OnchainPayment
from orders.operations import ending
from orders.states import At
from tests.e2e.shop import Shop
from tests.e2e.test_foreseen_deposits import Payer, foreseeing_shop
from tests.regtest.payment import FAILED
from tests.regtest.waiting import until

__all__ = ["foreseeing_shop"]

TAKEN_BACK = "deposit_taken_back"


def kinds(shop: Shop, quote: dict[str, Any]) -> list[str]:
    return [flag.kind for flag in shop.order(quote).standing]


def turns_until(shop: Shop, quote: dict[str, Any], what: str, is_so: Any) -> None:
    until(lambda: shop.hurry(quote) or shop.turn() or is_so(), what, timeout=40)


def test_a_payment_taken_back_three_blocks_deep_opens_nothing_and_counts_in_another_block(
    shop: Shop, settings: Any
) -> None:
    settings.ONCHAIN_CONFIRMATIONS = 3
    quote = shop.buy()
    shop.network.chain.send(quote["btc_address"], quote["total_amount"])
    shop.network.mine(3)
    shop.run(quote, "paid")
    before = shop.seen(quote)["onchain_payments"][0]["height"]
    shop.network.reorganise(3, [])
    turns_until(shop, quote, "it is told", lambda: TAKEN_BACK in kinds(shop, quote))
    shop.claim(quote)
    for _ in range(3):
        shop.hurry(quote)
        shop.turn()
    assert "opening_begun" not in shop.journal(quote)
    shop.network.mine(3)
    shop.hurry(quote)
    shop.run(quote, "open", mine=True)
    assert shop.seen(quote)["onchain_payments"][0]["height"] > before
    assert TAKEN_BACK not in kinds(shop, quote)
    shop.assert_delivered(quote)


def test_a_payment_taken_back_three_blocks_deep_and_double_spent_ends_its_order_once_that_is_deep(
    foreseeing_shop: Shop, settings: Any
) -> None:
    """LND's wallet lists it on as if it could come back; btcd knows better."""
    shop = foreseeing_shop
    settings.ONCHAIN_CONFIRMATIONS = 3
    quote, payer = shop.buy(), Payer(shop.network.chain)
    payer.sends(quote["btc_address"], quote["total_amount"], 20_000)
    shop.network.mine(3)
    shop.run(quote, "paid")
    shop.claim(quote)
    shop.network.reorganise(3, [payer.raw_back(30_000)])
    turns_until(shop, quote, "a rival is found", lambda: "deposit_rivalled" in shop.journal(quote))
    assert TAKEN_BACK in kinds(shop, quote)
    shop.network.mine(4)
    for _ in range(3):
        shop.hurry(quote)
        shop.turn()
    assert shop.order(quote).state == "uri_set"
    shop.network.mine(1)
    turns_until(shop, quote, "it is over", lambda: shop.order(quote).state == "expired")
    assert "deposit_double_spent" in shop.journal(quote) and "opening_begun" not in shop.journal(quote)
    assert not kinds(shop, quote)
    shop.assert_nothing_left(quote)


def test_a_payment_taken_back_three_blocks_deep_after_the_opening_is_alarmed(shop: Shop) -> None:
    """Its channel was given for it: a person must know at once, until it is back."""
    quote = shop.buy()
    shop.network.chain.send(quote["btc_address"], quote["total_amount"])
    shop.network.mine(1)
    shop.run(quote, "paid")
    shop.claim(quote)
    shop.run(quote, "opening")
    turns_until(shop, quote, "the funding is published", lambda: "funding_published" in shop.journal(quote))
    shop.network.mine(2)
    shop.run(quote, "open")
    shop.network.reorganise(3, [])
    turns_until(shop, quote, "it is alarmed", lambda: TAKEN_BACK in kinds(shop, quote))
    shop.network.mine(1)
    turns_until(shop, quote, "it is back", lambda: TAKEN_BACK not in kinds(shop, quote))
    shop.network.mine(5)
    shop.run(quote, "open", mine=True)
    shop.assert_delivered(quote)


def test_a_deposit_that_its_payer_replaces_by_a_dearer_one_pays_once(shop: Shop) -> None:
    payer, quote = Payer(shop.network.chain), shop.buy()
    first = payer.sends(quote["btc_address"], quote["total_amount"], 2_000)
    turns_until(shop, quote, "it is seen", lambda: OnchainPayment.objects.filter(txid=first))
    second = payer.sends(quote["btc_address"], quote["total_amount"], 50_000)
    shop.network.mine(1)
    shop.run(quote, "paid")
    rows = {row.txid: row for row in shop.order(quote).onchain_payments.all()}
    turns_until(shop, quote, "the first is gone", lambda: OnchainPayment.objects.get(txid=first).state == "vanished")
    assert set(rows) == {first, second}
    counted = [row.received_sat(At.SEEN, height=0, depth=0) for row in shop.order(quote).onchain_payments.all()]
    assert sum(counted) == quote["total_amount"]
    assert not shop.order(quote).overpaid and not kinds(shop, quote)
    ending.cancel(shop.order(quote).pk, actor=actors.staff("ada"))


def test_a_held_payment_is_cancelled_long_before_it_expires_although_lnd_starts_anew_meanwhile(shop: Shop) -> None:
    """It was recorded to go back, and the node was gone before it was told."""
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    ending.cancel(shop.order(quote).pk, actor=actors.staff("ada"))
    invoice = shop.order(quote).hold_invoice
    assert invoice.state == "returning" and shop.node.invoice(invoice.payment_hash).state == "accepted"
    shop.network.lsp.restart()
    shop.network.wait_synced()
    until(lambda: _answers(shop.node), "the node answers us again")
    turns_until(shop, quote, "it is back", lambda: shop.order(quote).state == "refunded")
    assert payment.wait() == FAILED
    assert shop.node.invoice(invoice.payment_hash).state == "canceled"
    assert (invoice.hold_expires_height or 0) - shop.node.info().block_height > 100
    shop.assert_nothing_left(quote)


def _answers(node: LndNode) -> bool:
    try:
        return bool(node.info())
    except LightningError:
        return False
