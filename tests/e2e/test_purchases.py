"""Each way to buy a channel, on real nodes."""

from __future__ import annotations

from tests.e2e.shop import Shop
from tests.regtest.payment import SUCCEEDED


def test_a_lightning_purchase_claimed_by_manual_finalise_delivers_the_channel(shop: Shop) -> None:
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    seen = shop.seen(quote)
    assert (seen["state"], seen["payment_held"], seen["amount_received"]) == (100, True, quote["total_amount"])
    shop.claim(quote)
    shop.run(quote, "opening")
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote)
    assert shop.seen(quote)["payment_held"] is False
    assert shop.journal(quote)[:6] == [
        "quoted", "lightning_payment_held", "claimed", "opening_begun", "opening_funded", "funding_signed",
    ]  # fmt: skip
