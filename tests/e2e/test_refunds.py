"""Money on chain goes back by itself: late, short, too much, unclaimed; with every transaction looked at."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from embit import bech32

from lightning.errors import Rejected
from lightning.node import LndNode
from lightning.types import FeeRates
from orders import actors
from orders.models import ChannelOrder, Refund, WalletTransaction
from orders.operations import giving_up, refunding
from tests.e2e.shop import Shop
from tests.regtest.payment import SUCCEEDED
from tests.regtest.waiting import until

FINAL = 6


def somewhere() -> str:
    """An address of somebody's, which none of our nodes knows."""
    return str(bech32.encode("bcrt", 0, secrets.token_bytes(20)))


def deposit(shop: Shop, quote: dict[str, Any], amount_sat: int, *, blocks: int = FINAL) -> None:
    shop.network.chain.send(quote["btc_address"], amount_sat)
    if blocks:
        shop.network.mine(blocks)


def refunds(quote: dict[str, Any]) -> list[Refund]:
    return list(Refund.objects.filter(order=quote["order_id"]).select_related("transaction"))


def until_refund(shop: Shop, quote: dict[str, Any], state: str, *, number: int = 0) -> Refund:
    def there() -> bool:
        shop.hurry(quote)
        shop.turn()
        return len(refunds(quote)) > number and refunds(quote)[number].state == state

    until(there, f"the refund is {state}", timeout=40)
    return refunds(quote)[number]


def paid_out(shop: Shop, txid: str) -> dict[str, int]:
    """What the transaction pays, by address."""
    return {output.address: output.amount_sat for output in shop.node.transaction(txid).outputs if output.address}


def assert_went_back(shop: Shop, quote: dict[str, Any], refund: Refund, address: str, amount_sat: int) -> None:
    """One transaction, mined, that pays the buyer all but its own cost; the API says so."""
    assert refund.transaction is not None
    paid = paid_out(shop, refund.transaction.txid)
    assert (refund.amount_sat, paid[address]) == (amount_sat, amount_sat - refund.fee_sat)
    assert 0 < refund.fee_sat < amount_sat // 10
    seen = shop.seen(quote)
    assert (seen["refund_tx"], seen["refund_amount"]) == (refund.transaction.txid, paid[address])
    assert seen["refunded_at"] and not seen["refund_needed"]
    assert not shop.order(quote).standing


def big(shop: Shop, **body: Any) -> dict[str, Any]:
    """One that costs more than it costs to send the price back."""
    return shop.buy(local_balance=120_000, remote_balance=110_000, **body)


def expired(shop: Shop, settings: Any, **body: Any) -> dict[str, Any]:
    settings.ORDER_LIFETIME_SECONDS = 1
    quote = big(shop, **body)
    shop.run(quote, "expired", timeout=30)
    return quote


def test_what_was_too_little_goes_back_once_the_order_has_expired(shop: Shop, settings: Any) -> None:
    address = somewhere()
    settings.ORDER_LIFETIME_SECONDS = 3
    quote = big(shop, refund_onchain_address=address)
    short_sat = 50_000
    shop.network.chain.send(quote["btc_address"], short_sat)
    shop.network.mine(FINAL)
    shop.run(quote, "expired", timeout=30)
    refund = until_refund(shop, quote, "published")
    shop.network.mine(1)
    until(lambda: shop.hurry(quote) or shop.turn() or shop.order(quote).state == "refunded", "it is refunded")
    assert_went_back(shop, quote, refunds(quote)[0], address, short_sat)
    shop.network.mine(FINAL)
    assert until_refund(shop, quote, "done").pk == refund.pk
    assert len(refunds(quote)) == 1


def test_who_pays_late_has_his_channel_all_the_same(shop: Shop, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At today's price: and what btcd makes of the blocks of a test is anything."""
    monkeypatch.setattr(LndNode, "fee_rates", lambda self, *, conf_target: FeeRates(2_500, 253))
    quote = expired(shop, settings)
    deposit(shop, quote, quote["total_amount"], blocks=1)
    shop.run(quote, "paid")
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    shop.assert_delivered(quote)
    assert "late_payment_taken" in shop.journal(quote) and not refunds(quote)


def test_what_comes_too_late_and_too_little_waits_for_an_address_and_goes_there(shop: Shop, settings: Any) -> None:
    """No address until a day later: the order says that it needs one, the buyer says it with the order's token."""
    quote = expired(shop, settings)
    deposit(shop, quote, 40_000)
    until_refund(shop, quote, "due")
    seen = shop.seen(quote)
    assert (seen["refund_needed"], seen["refund_amount"], seen["refund_tx"]) == (True, 40_000, None)
    assert [flag.kind for flag in shop.order(quote).standing] == ["refund_needed"]
    address = somewhere()
    said = {"order_id": quote["order_id"], "order_token": quote["order_token"], "refund_onchain_address": address}
    shop.post("/channel/refund_address", **said)
    until_refund(shop, quote, "published")
    shop.network.mine(FINAL)
    until_refund(shop, quote, "done")
    assert_went_back(shop, quote, refunds(quote)[0], address, 40_000)


def test_what_is_too_much_goes_back_and_the_channel_is_as_it_was_sold(shop: Shop) -> None:
    address = somewhere()
    quote = big(shop, refund_onchain_address=address)
    deposit(shop, quote, quote["total_amount"] + 30_000)
    shop.run(quote, "paid")
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    shop.network.mine(FINAL)
    until_refund(shop, quote, "done")
    assert_went_back(shop, quote, refunds(quote)[0], address, 30_000)
    shop.assert_delivered(quote)


def test_who_pays_on_both_rails_has_his_channel_and_one_payment_back(shop: Shop) -> None:
    address = somewhere()
    quote = big(shop, refund_onchain_address=address)
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    deposit(shop, quote, quote["total_amount"])
    for _ in range(3):
        shop.hurry(quote)
        shop.turn()
    assert not refunds(quote)  # until it is known which of the two buys the channel
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    until_refund(shop, quote, "published")
    shop.network.mine(FINAL)
    until_refund(shop, quote, "done")
    assert_went_back(shop, quote, refunds(quote)[0], address, quote["total_amount"])


def test_a_refund_that_stays_unmined_pays_more_and_only_one_version_is_mined(shop: Shop, settings: Any) -> None:
    """Versions 1 and 3 both try: they spend the same coin."""
    address = somewhere()
    quote = expired(shop, settings, refund_onchain_address=address)
    deposit(shop, quote, 60_000)
    first = until_refund(shop, quote, "published").transaction
    for _ in range(2):
        WalletTransaction.objects.filter(kind="refund").update(created_at=timezone.now() - timedelta(hours=7))
        before = refunds(quote)[0].transaction_id
        until(
            lambda before=before: (
                shop.hurry(quote)  # type: ignore[misc]
                or shop.turn()
                or (refunds(quote)[0].transaction_id != before and refunds(quote)[0].state == "published")
            ),
            "a dearer version is published",
        )
    versions = list(WalletTransaction.objects.filter(kind="refund").order_by("id"))
    assert len(versions) == 3 and first == versions[0]
    assert [v.fee_sat for v in versions] == sorted({v.fee_sat for v in versions})
    assert len({str(v.inputs) for v in versions}) == 1
    shop.network.mine(FINAL)
    refund = until_refund(shop, quote, "done")
    assert_went_back(shop, quote, refund, address, 60_000)
    assert WalletTransaction.objects.filter(kind="refund", state="deep").count() == 1
    assert refund.transaction is not None and refund.transaction.txid == versions[-1].txid


def test_of_a_refund_that_was_made_dearer_twice_a_miner_takes_the_first_and_nobody_any_other(
    shop: Shop, settings: Any
) -> None:
    address = somewhere()
    quote = expired(shop, settings, refund_onchain_address=address)
    deposit(shop, quote, 60_000)
    until_refund(shop, quote, "published")
    for number in (2, 3):
        WalletTransaction.objects.filter(kind="refund").update(created_at=timezone.now() - timedelta(hours=7))
        until(
            lambda number=number: (
                shop.hurry(quote)  # type: ignore[misc]
                or shop.turn()
                or (WalletTransaction.objects.filter(kind="refund").count() == number)
            ),
            "a dearer version is signed",
        )
        until_refund(shop, quote, "published")
    first, _, third = WalletTransaction.objects.filter(kind="refund").order_by("id")
    shop.network.chain.mine_only([bytes(first.raw or b"").hex()])
    shop.network.mine(1)
    with pytest.raises(Rejected):
        shop.node.publish(bytes(third.raw or b""), label=third.label)
    shop.network.mine(FINAL)
    refund = until_refund(shop, quote, "done")
    assert_went_back(shop, quote, refund, address, 60_000)
    assert refund.transaction == first and refund.fee_sat == first.fee_sat
    assert third.txid not in {each.txid for each in shop.node.transactions(from_height=0) if each.confirmations}


def test_what_is_too_little_to_go_back_is_on_the_buyers_side_of_the_channel(shop: Shop) -> None:
    quote = shop.buy(refund_onchain_address=somewhere())
    deposit(shop, quote, quote["total_amount"] + 500)
    shop.run(quote, "paid")
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    order, ours, theirs = (
        shop.order(quote),
        shop.channel_at(shop.network.lsp, quote),
        shop.channel_at(shop.wallet, quote),
    )
    for channel in (ours, theirs):
        assert channel.capacity == order.capacity_sat + 500 and channel.push_amount_sat == 500
    assert not refunds(quote) and not order.standing
    assert [row.surplus_sat for row in order.openings.all()] == [500]


def test_what_was_paid_and_never_claimed_goes_back_after_its_window(shop: Shop, settings: Any) -> None:
    address = somewhere()
    quote = big(shop, refund_onchain_address=address)
    deposit(shop, quote, quote["total_amount"])
    shop.run(quote, "paid")
    ChannelOrder.objects.filter(pk=quote["order_id"]).update(claim_expires_at=timezone.now())
    until_refund(shop, quote, "published")
    assert shop.client.post(
        "/channel/manual_finalise",
        {"order_id": quote["order_id"], "node_uri": shop.wallet.p2p_address},
        content_type="application/json",
    ).status_code == 409  # fmt: skip
    shop.network.mine(FINAL)
    until_refund(shop, quote, "done")
    assert shop.order(quote).state == "refunded"
    assert_went_back(shop, quote, refunds(quote)[0], address, quote["total_amount"])


def test_what_we_gave_up_goes_back_after_the_grace_and_not_before(shop: Shop, add_peer: Any) -> None:
    address = somewhere()
    quote = big(shop, refund_onchain_address=address)
    deposit(shop, quote, quote["total_amount"])
    shop.run(quote, "paid")
    shop.claim(quote)
    giving_up.give_up(shop.order(quote).pk, reason="PEER_NOT_REACHABLE", actor=actors.staff("ada"))
    for _ in range(3):
        shop.hurry(quote)
        shop.turn()
    assert not refunds(quote)
    ChannelOrder.objects.filter(pk=quote["order_id"]).update(give_up_until=timezone.now())
    until_refund(shop, quote, "published")
    shop.network.mine(FINAL)
    until_refund(shop, quote, "done")
    assert_went_back(shop, quote, refunds(quote)[0], address, quote["total_amount"])


def test_money_never_goes_back_to_where_an_order_is_paid(shop: Shop) -> None:
    """It would come to us again, and again, until fees had eaten it."""
    ours = shop.buy()["btc_address"]
    body = {"local_balance": 500_000, "channel_expiry": 4, "refund_onchain_address": ours}
    answer = shop.client.post("/channel/buy", body, content_type="application/json")
    assert answer.status_code == 400 and answer.json()["field"] == "refund_onchain_address"


def test_who_has_the_orders_id_alone_cannot_say_where_money_goes(shop: Shop) -> None:
    quote = shop.buy()
    body = {"order_id": quote["order_id"], "refund_onchain_address": somewhere()}
    for token in ({}, {"order_token": "x" * 30}):
        answer = shop.client.post("/channel/refund_address", body | token, content_type="application/json")
        assert (answer.status_code, answer.json()["field"]) == (403, "order_token")
    assert shop.order(quote).refund_address == ""


def test_who_changes_the_address_again_and_again_is_refused(shop: Shop) -> None:
    """Each change is journalled, and costs a look."""
    quote = shop.buy()
    said = {"order_id": quote["order_id"], "order_token": quote["order_token"]}
    for _ in range(20):
        shop.post("/channel/refund_address", **said, refund_onchain_address=somewhere())
    body = said | {"refund_onchain_address": somewhere()}
    assert shop.client.post("/channel/refund_address", body, content_type="application/json").status_code == 409


def test_where_money_goes_back_to_can_be_changed_until_it_is_signed(shop: Shop, settings: Any) -> None:
    quote = expired(shop, settings)
    deposit(shop, quote, 45_000)
    until_refund(shop, quote, "due")
    order, first, second = shop.order(quote), somewhere(), somewhere()
    for address in (first, second):
        refunding.say_refund_address(order.pk, address, actor=actors.staff("ada"))
    until_refund(shop, quote, "published")
    with pytest.raises(Exception, match="on its way"):
        refunding.say_refund_address(order.pk, first, actor=actors.staff("ada"))
    shop.network.mine(FINAL)
    until_refund(shop, quote, "done")
    assert_went_back(shop, quote, refunds(quote)[0], second, 45_000)


def test_what_a_hold_invoice_brought_too_much_goes_back_on_chain(shop: Shop) -> None:
    address = somewhere()
    quote = big(shop, refund_onchain_address=address)
    payment = shop.wallet.pay_amount(quote["ln_invoice"], (quote["total_amount"] + 50_000) * 1000)
    shop.run(quote, "paid")
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    until_refund(shop, quote, "published")
    shop.network.mine(FINAL)
    until_refund(shop, quote, "done")
    assert_went_back(shop, quote, refunds(quote)[0], address, 50_000)
    shop.assert_delivered(quote)
