"""What comes between the point of no return and a deep funding; and guards taken out, to see the loss they prevent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import serializers
from django.db import connection, transaction
from django.utils import timezone

from lightning.types import Outpoint
from orders import keys, marks, models
from orders.causes import Cause
from orders.openings import opening, publishing, tracing
from orders.payments import counting, rail
from orders.payments import lightning as lightning_rail
from orders.payments.lightning import holding
from orders.states import InvoiceState, OpeningState, OrderState
from tests.chaos.conftest import Engine
from tests.chaos.test_kills import assert_whole, begin, finish
from tests.e2e.shop import Shop
from tests.regtest.payment import FAILED, SUCCEEDED
from tests.regtest.waiting import until

Quote = dict[str, Any]


def advance_until(shop: Shop, quote: Quote, true: Callable[[], bool], what: str, *, mine: bool = True) -> None:
    def there() -> bool:
        shop.hurry(quote)
        shop.turn()
        if true():
            return True
        if mine:
            shop.network.mine(1)
        return False

    try:
        until(there, what, timeout=90)
    except TimeoutError as never:
        raise AssertionError(f"{never}\n{shop.story(quote)}") from None


def committed(shop: Shop, engine: Engine) -> tuple[Quote, Any]:
    """The funding is signed and recorded; then our process was killed before it published."""
    quote, payment = begin(shop, engine, "before publish")
    engine.kill()
    assert shop.order(quote).state == OrderState.OPENING
    return quote, payment


def run_out(shop: Shop, quote: Quote) -> None:
    """Blocks pass until the node itself has cancelled the held payment."""
    invoice = shop.order(quote).hold_invoice
    assert invoice.hold_expires_height is not None
    left = invoice.hold_expires_height - shop.node.info().block_height
    shop.network.mine(left - 17)
    until(lambda: shop.node.invoice(invoice.payment_hash).state == "canceled", "lnd cancels by itself")


def mempool_has(shop: Shop, txid: str) -> bool:
    return txid in shop.network.chain.mempool()


def test_a_hold_that_ran_out_while_we_were_down_pays_back_and_opens_nothing(shop: Shop, engine: Engine) -> None:
    quote, payment = committed(shop, engine)
    run_out(shop, quote)
    advance_until(shop, quote, lambda: shop.order(quote).state == OrderState.REFUNDED, "the order is refunded")
    assert payment.wait() == FAILED
    shop.assert_nothing_left(quote)
    assert "funding_put_out" in shop.journal(quote)
    assert shop.order(quote).hold_invoice.state == InvoiceState.CANCELLED
    ours = models.WalletTransaction.objects.get(kind="funding", label__contains=quote["order_id"])
    assert not [t for t in shop.network.lsp.transactions() if t.tx_hash == ours.txid]


@pytest.mark.long
def test_control_without_the_look_at_the_payment_a_channel_is_given_away(
    shop: Shop, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote, payment = committed(shop, engine)
    run_out(shop, quote)
    monkeypatch.setattr(publishing.security, "look", lambda order, node: rail.SETTLED)
    advance_until(shop, quote, lambda: shop.order(quote).state == OrderState.OPEN, "the channel is open")
    assert payment.wait() == FAILED  # opened, and never paid


_TABLES = (
    models.ChannelOrder, models.HoldInvoice, models.OnchainPayment, models.WalletTransaction, models.ChannelOpening,
    models.OrderEvent, models.Node, models.NodeSnapshot, models.Entry, models.Leg, models.JitPurchase, models.JitPart,
    models.Webhook, models.WakeUp,
)  # fmt: skip


def snapshot() -> str:
    return serializers.serialize("json", [row for table in _TABLES for row in table.objects.all()])


def put_back(saved: str) -> None:
    """The database is as it was."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            names = ", ".join(table._meta.db_table for table in _TABLES)
            cursor.execute(f"TRUNCATE {names} CASCADE")
        for row in serializers.deserialize("json", saved):
            row.save()


def sold_then_put_back(shop: Shop, *, until_state: str, mine: bool) -> tuple[Quote, Any]:
    quote = shop.buy(node_uri=shop.wallet.p2p_address)
    payment = shop.pay(quote)
    # the order is paid and claimed, and nothing has begun
    holding.hold(shop.order(quote).pk, shop.node.invoice(shop.order(quote).hold_invoice.payment_hash))
    before = snapshot()
    shop.run(quote, until_state, mine=mine)
    put_back(before)
    assert shop.order(quote).state == OrderState.URI_SET
    return quote, payment


def test_a_database_put_back_to_before_the_attempt_sells_nothing_twice(shop: Shop) -> None:
    quote, payment = sold_then_put_back(shop, until_state="open", mine=True)
    finish(shop, quote)
    assert_whole(shop, quote, payment)
    assert "opening_adopted" in shop.journal(quote)


def test_control_without_the_look_a_second_channel_is_opened(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    quote, _ = sold_then_put_back(shop, until_state="open", mine=True)
    monkeypatch.setattr(opening.tracing, "find_trace", lambda order, node, **_: None)
    advance_until(shop, quote, lambda: shop.order(quote).state == OrderState.OPEN, "the channel is open")
    assert len([c for c in shop.network.lsp.channels() if c.memo == quote["order_id"]]) == 2


def test_a_pending_channel_whose_signed_funding_was_lost_is_put_out_and_opened_anew(shop: Shop, engine: Engine) -> None:
    quote = shop.buy(node_uri=shop.wallet.p2p_address)
    payment = shop.pay(quote)
    holding.hold(shop.order(quote).pk, shop.node.invoice(shop.order(quote).hold_invoice.payment_hash))
    before = snapshot()
    engine.start(quote, "before publish")
    engine.wait_reached()
    engine.kill()
    put_back(before)
    finish(shop, quote)
    assert_whole(shop, quote, payment)
    assert {"opening_adopted", "funding_put_out"} <= set(shop.journal(quote))


def test_a_database_put_back_into_the_midst_of_the_attempt_abandons_nothing(shop: Shop, engine: Engine) -> None:
    """Our records say FUNDED, or cancelled half-way; the truth is a published funding."""
    quote, payment = begin(shop, engine, "before finalize_psbt")
    engine.kill()
    before = snapshot()
    finish(shop, quote)
    put_back(before)
    models.ChannelOpening.objects.update(changed_at=timezone.now() - timedelta(hours=1))
    finish(shop, quote)
    assert_whole(shop, quote, payment)
    assert "opening_adopted" in shop.journal(quote)


def test_control_a_payment_returned_while_an_attempt_is_live_is_lost(
    shop: Shop, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard: nothing that returns a payment passes while an attempt is live."""
    quote, payment = committed(shop, engine)
    assert counting.intend_return(shop.order(quote).pk, cause=Cause.EXPIRED) is False
    monkeypatch.setattr(models.ChannelOrder, "live_opening", None)
    assert counting.intend_return(shop.order(quote).pk, cause=Cause.EXPIRED) is True
    lightning_rail.finish_return(shop.order(quote).pk, shop.node)
    monkeypatch.undo()
    raw = bytes(models.WalletTransaction.objects.get(label=f"funding:{quote['order_id']}").raw or b"")
    shop.node.publish(raw, label="test")  # what a process that was merely slow would have done
    assert payment.wait() == FAILED
    assert shop.order(quote).openings.get().state == OpeningState.PUBLISHING


@pytest.mark.long
def test_control_without_the_channel_being_seen_the_funding_is_burnt(
    shop: Shop, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lnd dies between funding and psbt_verify: nobody can sign for that output any more."""
    quote, _ = begin(shop, engine, "before verify_psbt")
    engine.kill()
    shop.network.lsp.kill()
    shop.network.lsp.start()
    shop.network.wait_synced()
    outpoint = shop.order(quote).openings.get().funding_outpoint
    monkeypatch.setattr(tracing, "open_or_opening", lambda node, outpoint: object())
    monkeypatch.setattr(publishing, "open_or_opening", lambda node, outpoint: object())
    advance_until(shop, quote, lambda: "funding_published" in shop.journal(quote), "it is published", mine=False)
    everywhere = {str(c.outpoint) for c in (*shop.node.channels(), *shop.node.pending_channels())}
    assert outpoint not in everywhere


def test_a_funding_signed_without_its_channel_is_put_out_before_it_is_published(
    shop: Shop, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with the first of the two looks taken out: the second one sees it."""
    quote, payment = begin(shop, engine, "before verify_psbt")
    engine.kill()
    shop.network.lsp.kill()
    shop.network.lsp.start()
    shop.network.wait_synced()
    with monkeypatch.context() as patch:
        patch.setattr(tracing, "open_or_opening", lambda node, outpoint: object())
        advance_until(shop, quote, lambda: "funding_put_out" in shop.journal(quote), "it is put out", mine=False)
    finish(shop, quote)
    assert_whole(shop, quote, payment)


@pytest.mark.long
def test_control_without_leasing_again_two_fundings_share_a_coin(
    shop: Shop, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease that ran out shows nowhere: the point of no return asks for it again."""
    quote, _ = begin(shop, engine, "before finalize_psbt")
    engine.kill()
    order = shop.order(quote)
    coin = Outpoint.parse(models.WalletTransaction.objects.get(label=f"funding:{order.pk}").inputs[0][0])
    shop.node.release(coin, lock_id=marks.lock_id(order.pk))
    thief = b"\x02" * 32
    shop.node.lease(coin, lock_id=thief, seconds=600)
    with monkeypatch.context() as patch:
        patch.setattr(type(shop.node), "lease", lambda self, outpoint, *, lock_id, seconds: None)
        advance_until(shop, quote, lambda: "funding_signed" in shop.journal(quote), "it is signed", mine=False)
    assert any(lease.outpoint == coin and lease.lock_id == thief for lease in shop.node.leases())
    shop.node.release(coin, lock_id=thief)
    finish(shop, quote)


def test_a_coin_leased_by_another_ends_the_attempt_before_the_point_of_no_return(shop: Shop, engine: Engine) -> None:
    quote, payment = begin(shop, engine, "before finalize_psbt")
    engine.kill()
    order = shop.order(quote)
    coin = Outpoint.parse(models.WalletTransaction.objects.get(label=f"funding:{order.pk}").inputs[0][0])
    shop.node.release(coin, lock_id=marks.lock_id(order.pk))
    thief = b"\x02" * 32
    shop.node.lease(coin, lock_id=thief, seconds=600)
    advance_until(shop, quote, lambda: "opening_failed" in shop.journal(quote), "it is cancelled", mine=False)
    assert "funding_signed" not in shop.journal(quote)[: shop.journal(quote).index("opening_failed")]
    shop.node.release(coin, lock_id=thief)
    finish(shop, quote)
    assert_whole(shop, quote, payment)


def test_control_a_payment_settled_before_publishing_is_taken_for_nothing(
    shop: Shop, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard: only a published attempt gives the right to settle."""
    quote, payment = committed(shop, engine)
    lightning_rail.settle(shop.order(quote).pk, shop.node)
    assert shop.order(quote).hold_invoice.state == InvoiceState.HELD
    shop.node.settle_invoice(keys.preimage(shop.order(quote).pk))  # as without the guard
    assert payment.wait() == SUCCEEDED
    assert not mempool_has(shop, shop.order(quote).openings.get().funding_outpoint.partition(":")[0])
    finish(shop, quote)  # and the order still delivers, since settled is secured
    shop.assert_delivered(quote)
