"""A shop whose macaroon was baked before a feature came, on the simulator: it sells, and the feature is off."""

from __future__ import annotations

from typing import Any

from lightning.credentials import required_methods
from lightning.rights import NEEDS, Feature
from tests.e2e.shop import Shop
from watch import doctor


def baked(shop: Shop, settings: Any, methods: set[str]) -> None:
    settings.LND_MACAROON = shop.network.lsp.bake_macaroon(sorted(methods))  # type: ignore[attr-defined]


def test_a_macaroon_without_the_rights_of_the_on_chain_rail_sells_and_delivers_over_lightning(
    shop: Shop, settings: Any
) -> None:
    baked(shop, settings, set(NEEDS[Feature.SELLING]))
    quote = shop.buy()
    assert quote["btc_address"] is None
    shop.pay(quote)
    shop.run(quote, "paid")
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    shop.assert_delivered(quote)
    found = {finding.name: finding for finding in doctor.thorough(shop.node)}
    assert "SubscribeTransactions" in found["onchain"].seen and found["onchain"].mend


def test_with_all_rights_the_same_shop_is_paid_on_chain(shop: Shop, settings: Any) -> None:
    baked(shop, settings, set(required_methods()))
    quote = shop.buy()
    shop.network.chain.send(quote["btc_address"], quote["total_amount"])
    shop.network.mine(1)
    shop.run(quote, "paid")
    assert shop.order(quote).counted_payment == "onchain"
