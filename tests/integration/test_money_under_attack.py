"""Money under attack: records put back, processes that sleep, answers that lie. Each was a loss once."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from lightning.errors import OutcomeUnknown, Rejected
from lightning.types import NodeInvoiceState, Outpoint, TxOutput
from orders import actors, flags, queries, reconcile
from orders.advance import advance
from orders.causes import FlagKind
from orders.models import ChannelOpening, ChannelOrder, Node, NodeSnapshot, WalletTransaction
from orders.openings import cancelling, committing, conflicting
from orders.openings.reasons import Broken
from orders.operations import ending, snapshot
from orders.payments.onchain import watching
from orders.states import InvoiceState, OpeningState, OrderState
from tests.factories import DepositFactory, OpeningFactory, OrderFactory, SnapshotFactory, TransactionFactory, txid
from tests.scripted import ScriptedNode, channel, held, mined, pending, unmined

pytestmark = pytest.mark.django_db(transaction=True)
LONG_AGO = timedelta(days=2)


def look(order: Any, node: ScriptedNode, times: int = 3) -> ChannelOrder:
    for _ in range(times):
        ChannelOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
        try:
            advance(order.pk, node=node)  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001  an operation may fail; what it left behind is the point
            continue
    return queries.order_or_raise(order.pk)


@pytest.fixture
def node() -> ScriptedNode:
    SnapshotFactory()
    return ScriptedNode()


def test_a_database_put_back_to_funded_does_not_abandon_the_open_channel(node: ScriptedNode) -> None:
    order = OrderFactory(uri_set=True)
    row = OpeningFactory(order=order, state=OpeningState.FUNDED, changed_at=timezone.now() - LONG_AGO)
    ours = Outpoint(row.transaction.txid, 0)
    WalletTransaction.objects.update(raw=None)  # nobody signed it, by these records
    node.by_hash[order.hold_invoice.payment_hash] = held(order, NodeInvoiceState.SETTLED)
    node.wallet[ours.txid] = mined(ours.txid, label=f"funding:{order.pk}")
    node.open = [channel(ours, order)]
    look(order, node)
    assert node.abandoned == []


def test_a_database_put_back_to_negotiating_does_not_abandon_the_published_channel(node: ScriptedNode) -> None:
    order = OrderFactory(uri_set=True)
    OpeningFactory(order=order, negotiating=True)  # even a second old
    ours = Outpoint(txid("real"), 0)
    node.by_hash[order.hold_invoice.payment_hash] = held(order, NodeInvoiceState.SETTLED)
    node.wallet[ours.txid] = unmined(ours.txid, label=f"funding:{order.pk}")
    node.pending = [pending(ours, order)]
    look(order, node)
    assert node.abandoned == []


def test_a_frozen_cancelling_does_not_abandon_the_next_attempts_channel(node: ScriptedNode) -> None:
    order = OrderFactory(uri_set=True)
    first = OpeningFactory(order=order, state=OpeningState.FUNDED, changed_at=timezone.now() - LONG_AGO)
    WalletTransaction.objects.update(raw=None)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    second = Outpoint(txid("second"), 0)

    def frozen(name: str) -> None:
        if name != "disconnect" or node.pending:
            return
        # meanwhile, elsewhere (our lock went with our connection): attempt 1 FAILED, attempt 2 committed, published
        ChannelOpening.objects.filter(pk=first.pk).update(state=OpeningState.FAILED)
        OpeningFactory(order=order, attempt=2, transaction=TransactionFactory(txid=second.txid))
        ChannelOrder.objects.filter(pk=order.pk).update(state=OrderState.OPENING)
        node.wallet[second.txid] = unmined(second.txid, label=f"funding:{order.pk}")
        node.pending.append(pending(second, order))

    node.on_call = frozen
    cancelling.cancel(order.pk, node, reason="FAILED_OPENING")  # type: ignore[arg-type]
    assert node.pending  # it happened
    assert node.abandoned == [] and "release" not in node.calls


def test_a_funding_is_not_published_when_the_node_does_not_know_its_channel_any_more(node: ScriptedNode) -> None:
    order = OrderFactory(opening=True, invoice__state=InvoiceState.HELD, attempts=False)
    OpeningFactory(order=order, state=OpeningState.PUBLISHING, transaction__published_at=None)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    look(order, node, 1)
    assert node.published == []


def test_with_another_preimage_key_no_channel_is_opened_that_can_never_be_settled(
    node: ScriptedNode, settings: Any
) -> None:
    order = OrderFactory(uri_set=True)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    settings.PREIMAGE_KEY = "99" * 32  # LSP_HOME was lost: a new one was made without a word
    look(order, node, 1)
    assert "open_channel" not in node.calls


def test_with_another_preimage_key_a_held_payment_is_not_called_refunded(node: ScriptedNode, settings: Any) -> None:
    order = OrderFactory(give_up=True, invoice__state=InvoiceState.RETURNING)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    settings.PREIMAGE_KEY = "99" * 32
    order = look(order, node, 1)
    assert order.state != OrderState.REFUNDED


def test_a_forgotten_invoice_does_not_stop_a_published_order_without_a_flag(node: ScriptedNode) -> None:
    order = OrderFactory(opening=True, invoice__state=InvoiceState.HELD)
    ours = order.openings.get().transaction.txid
    node.wallet[ours] = mined(ours, confirmations=10, height=791)
    node.open = [channel(Outpoint(ours, 0), order)]
    order = look(order, node)
    assert order.needs_staff or order.state == OrderState.OPEN
    assert order.openings.get().state == OpeningState.CONFIRMED


def test_an_output_of_nothing_does_not_stop_the_minutes_look(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = OrderFactory(due_at=timezone.now())
    node.wallet["ab" * 32] = mined("ab" * 32, outputs=[TxOutput(0, order.deposit_address, 0, True)])
    monkeypatch.setattr("lightning.connection.node", lambda: node)
    queued: list[str] = []
    monkeypatch.setattr(reconcile, "async_task", lambda *a, **k: queued.append(a[1]))
    reconcile.reconcile()
    assert str(order.pk) in queued


def test_a_settled_order_whose_funding_no_mempool_takes_calls_staff(node: ScriptedNode) -> None:
    order = OrderFactory(opening=True)
    row = order.openings.get()
    WalletTransaction.objects.filter(pk=row.transaction.pk).update(
        change_index=-1, published_at=timezone.now() - timedelta(days=30)
    )
    node.wallet[row.transaction.txid] = unmined(row.transaction.txid)
    node.fails_at["publish"] = Rejected("insufficient fee", reason="fee_too_low")
    order = look(order, node)
    assert order.needs_staff


def test_an_unknown_answer_to_publishing_has_an_end_too(node: ScriptedNode) -> None:
    order = OrderFactory(opening=True, counted_payment="onchain", attempts=False)
    OpeningFactory(order=order, state=OpeningState.PUBLISHING, changed_at=timezone.now() - timedelta(days=30))
    deposit = order.onchain_payments.get()
    node.wallet[deposit.txid] = mined(deposit.txid, confirmations=3)
    node.fails_at["publish"] = OutcomeUnknown("a sentence that no row knows")
    order = look(order, node)
    assert order.needs_staff or order.openings.get().state != OpeningState.PUBLISHING


def test_a_refused_conflict_is_made_dearer_once_in_a_look(node: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    order = OrderFactory(opening=True, invoice__state=InvoiceState.HELD, attempts=False)
    coin = [f"{txid('coin')}:0", 100_000_000, "0014" + "00" * 20]
    sent = TransactionFactory(inputs=[coin])
    OpeningFactory(
        order=order,
        state=OpeningState.CONFLICTING,
        transaction=sent,
        conflict=TransactionFactory(kind="conflict", fee_sat=2_600, inputs=[coin]),
    )
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    node.fails_at["publish"] = Rejected("insufficient fee", reason="fee_too_low")
    number = itertools.count()

    class Read:
        @property
        def txid(self) -> str:
            return txid(f"conflict {next(number)}")

    monkeypatch.setattr("orders.openings.conflicting.transactions.read_transaction", lambda raw: Read())
    ChannelOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
    advance(order.pk, node=node)  # type: ignore[arg-type]
    fees = list(WalletTransaction.objects.filter(kind="conflict").order_by("id").values_list("fee_sat", flat=True))
    assert len(fees) <= 2


def test_a_cancelling_that_never_ends_calls_staff(node: ScriptedNode) -> None:
    order = OrderFactory(uri_set=True)
    row = OpeningFactory(order=order, state=OpeningState.CANCELLING, changed_at=timezone.now() - LONG_AGO)
    node.by_hash[order.hold_invoice.payment_hash] = held(order, expiry=810)  # the margin is long gone
    node.pending = [pending(Outpoint(row.transaction.txid, 0), order)]
    node.fails_at["abandon_channel"] = OutcomeUnknown("a sentence that no row knows")
    order = look(order, node)
    assert order.needs_staff


def test_a_coin_too_small_for_a_conflict_calls_staff(node: ScriptedNode) -> None:
    order = OrderFactory(opening=True, invoice__state=InvoiceState.HELD, attempts=False)
    sent = TransactionFactory(
        published_at=None,
        inputs=[[f"{txid('dust')}:0", 600, "0014" + "00" * 20], [f"{txid('coin')}:0", 2_000_000, "0014" + "00" * 20]],
    )
    OpeningFactory(order=order, state=OpeningState.PUBLISHING, transaction=sent)
    node.by_hash[order.hold_invoice.payment_hash] = held(order, NodeInvoiceState.CANCELED)
    order = look(order, node)
    assert order.needs_staff


def test_a_snapshot_from_the_future_is_replaced(node: ScriptedNode) -> None:
    NodeSnapshot.objects.update(at=timezone.now() + timedelta(days=1), spendable_sat=10**12)
    seen = snapshot.fresh_snapshot(node)  # type: ignore[arg-type]
    assert seen.spendable_sat == node.spendable_sat


def test_a_deposit_counts_at_whatever_depth_the_settings_ask(node: ScriptedNode, settings: Any) -> None:
    settings.ONCHAIN_CONFIRMATIONS = 10
    order = OrderFactory(client_balance_sat=0)
    for node.height in range(800, 830):
        node.wallet["ab" * 32] = mined(
            "ab" * 32,
            confirmations=node.height - 799,
            height=800,
            outputs=[TxOutput(0, order.deposit_address, order.order_total_sat, True)],
        )
        node.by_hash[order.hold_invoice.payment_hash] = held(order, NodeInvoiceState.OPEN)
        watching.read_deposits(node, NodeSnapshot.objects.get())  # type: ignore[arg-type]
        look(order, node, 1)
    assert queries.order_or_raise(order.pk).state == OrderState.PAID


@pytest.mark.parametrize(("amount_sat", "flags", "refund"), [(1_500, ["refund_needed"], "due"), (500, [], "kept")])
def test_a_deep_short_deposit_is_due_when_the_order_expires_or_kept_where_sending_costs_more(
    node: ScriptedNode, amount_sat: int, flags: list[str], refund: str
) -> None:
    order = OrderFactory(
        created_at=timezone.now() - timedelta(hours=2), invoice__state=InvoiceState.CANCELLED, underpaid=True
    )
    DepositFactory(order=order, amount_sat=amount_sat, confirmations=8, block_height=793)
    Node.objects.update(deposits_at=timezone.now())
    order = look(order, node)
    assert order.state == OrderState.EXPIRED
    assert ([flag.kind for flag in order.standing], order.refunds.get().state) == (flags, refund)


def test_money_returned_by_hand_is_not_delivered_by_retry_all(node: ScriptedNode) -> None:
    order = OrderFactory(give_up=True, counted_payment="onchain")
    ending.record_returned(order.pk, actor=actors.staff("ada"))
    call_command("retry_give_up", "--all")
    assert queries.order_or_raise(order.pk).state != OrderState.URI_SET


def test_the_coins_of_an_order_that_staff_have_cancelled_are_free_again(node: ScriptedNode) -> None:
    order = OrderFactory(give_up=True, counted_payment="onchain")
    ending.cancel(order.pk, actor=actors.staff("ada"))
    assert queries.promised_sat(NodeSnapshot.objects.get()) == 0


def test_a_refused_opening_does_not_cut_a_peer_off_to_the_buyers_word_for_its_address(node: ScriptedNode) -> None:
    order = OrderFactory(uri_set=True, node_host="203.0.113.66:1")
    OpeningFactory(order=order, negotiating=True)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    cancelling.cancel(order.pk, node, reason="CHANNEL_REJECTED")  # type: ignore[arg-type]
    assert node.disconnected == []


def test_a_database_put_back_to_funded_opens_no_second_channel(node: ScriptedNode) -> None:
    order = OrderFactory(uri_set=True)
    row = OpeningFactory(order=order, state=OpeningState.FUNDED, changed_at=timezone.now() - LONG_AGO)
    ours = Outpoint(row.transaction.txid, 0)
    WalletTransaction.objects.update(raw=None)  # nobody signed it, by these records
    node.by_hash[order.hold_invoice.payment_hash] = held(order, NodeInvoiceState.SETTLED)
    node.wallet[ours.txid] = unmined(ours.txid, label=f"funding:{order.pk}")  # in the mempool
    node.pending = [pending(ours, order)]
    node.on_call = lambda name: node.pending.clear() if name == "abandon_channel" else None
    look(order, node)
    assert "open_channel" not in node.calls


def test_a_database_put_back_to_publishing_does_not_abandon_the_later_attempts_channel(node: ScriptedNode) -> None:
    """The truth: attempt 1 was conflicted 6 deep, attempt 2 is open and paid. The records: attempt 1 PUBLISHING."""
    order = OrderFactory(opening=True, invoice__state=InvoiceState.HELD, attempts=False)
    coin = Outpoint(txid("coin"), 0)
    OpeningFactory(
        order=order, state=OpeningState.PUBLISHING, transaction__inputs=[[str(coin), 2_000_000, "0014" + "00" * 20]]
    )
    node.by_hash[order.hold_invoice.payment_hash] = held(order, NodeInvoiceState.SETTLED)
    node.wallet[txid("conflict")] = mined(txid("conflict"), confirmations=6, inputs=[coin])
    second = Outpoint(txid("second"), 0)
    node.wallet[second.txid] = mined(second.txid, label=f"funding:{order.pk}")
    node.open = [channel(second, order)]
    look(order, node)
    assert node.abandoned == []


# Another PREIMAGE_KEY once the attempt has begun


def signed(node: ScriptedNode) -> ChannelOrder:
    """An order whose funding is signed and not published."""
    order: ChannelOrder = OrderFactory(opening=True, invoice__state=InvoiceState.HELD, attempts=False)
    row = OpeningFactory(order=order, state=OpeningState.PUBLISHING, transaction__published_at=None)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    node.pending = [pending(Outpoint(row.transaction.txid, 0), order)]
    return order


def test_with_another_preimage_key_a_signed_funding_waits_until_the_key_is_back(
    node: ScriptedNode, settings: Any
) -> None:
    order, right = signed(node), settings.PREIMAGE_KEY
    ChannelOpening.objects.update(changed_at=timezone.now() - LONG_AGO)  # a person needs longer than a deposit
    settings.PREIMAGE_KEY = "99" * 32
    order = look(order, node)
    assert node.published == [] and order.openings.get().state == OpeningState.PUBLISHING
    assert [flag.kind for flag in order.standing] == [FlagKind.CANNOT_SETTLE] and order.due_at is not None
    settings.PREIMAGE_KEY = right
    order = look(order, node, 1)
    assert node.published and FlagKind.CANNOT_SETTLE not in [flag.kind for flag in order.standing]


def test_with_another_preimage_key_a_signed_funding_is_put_out_once_the_margin_is_gone(
    node: ScriptedNode, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = signed(node)
    settings.PREIMAGE_KEY = "99" * 32
    look(order, node, 1)
    begun: list[str] = []
    monkeypatch.setattr(conflicting, "begin", lambda order_id, node, *, reason: begun.append(reason))
    node.by_hash[order.hold_invoice.payment_hash] = held(order, expiry=node.height + 1)
    look(order, node, 1)
    assert (node.published, begun) == ([], ["PAYMENT_NOT_SECURED"])


def test_with_another_preimage_key_nothing_is_signed(node: ScriptedNode, settings: Any) -> None:
    order = OrderFactory(uri_set=True, invoice__state=InvoiceState.HELD)
    row = OpeningFactory(order=order, state=OpeningState.FUNDED)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    node.pending = [pending(Outpoint(row.transaction.txid, 0), order)]
    settings.PREIMAGE_KEY = "99" * 32
    with pytest.raises(Broken, match="PREIMAGE_KEY"):
        committing.commit(order.pk, node)  # type: ignore[arg-type]
    assert "finalize_psbt" not in node.calls


# Nobody is left alone


def test_an_order_that_cannot_be_adopted_is_looked_at_again_whoever_has_seen_its_flag(node: ScriptedNode) -> None:
    order = OrderFactory(uri_set=True, counted_payment="onchain", invoice__state=InvoiceState.CANCELLED)
    ChannelOrder.objects.update(created_at=timezone.now() - LONG_AGO)
    paid = order.onchain_payments.get()
    output = TxOutput(paid.vout, order.deposit_address, paid.amount_sat, True)
    node.wallet[paid.txid] = mined(paid.txid, outputs=[output])
    node.pending = [pending(Outpoint(txid("real"), 0), order)]  # neither its funding nor a lease is there
    order = look(order, node, 1)
    assert [flag.kind for flag in order.standing] == [FlagKind.NOT_ADOPTABLE]
    assert order.due_at is not None and order.due_at > timezone.now()
    flags.mark_seen(order.pk, actor=actors.staff("ada"))
    assert FlagKind.NOT_ADOPTABLE in {flag.kind for flag in look(order, node, 1).standing}
    node.pending = []  # they have mended it at the node, and the time is over
    ChannelOrder.objects.update(open_deadline_at=timezone.now() - LONG_AGO)
    assert look(order, node, 1).state == OrderState.GIVE_UP


def test_a_claimed_order_that_an_older_version_has_left_alone_is_found(node: ScriptedNode) -> None:
    order = OrderFactory(uri_set=True, due_at=None)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    reconcile.look(node)  # type: ignore[arg-type]
    assert queries.due_ids(timezone.now()) == [order.pk]


def test_a_held_payment_with_an_unknown_channel_is_looked_at_until_its_margin_is_gone(node: ScriptedNode) -> None:
    order = OrderFactory(
        paid_lightning=True, invoice__state=InvoiceState.HELD, claim_expires_at=timezone.now() - LONG_AGO
    )
    node.by_hash[order.hold_invoice.payment_hash] = held(order)
    node.pending = [pending(Outpoint(txid("real"), 0), order)]
    order = look(order, node, 1)
    assert [flag.kind for flag in order.standing] == [FlagKind.TRACE_UNKNOWN] and order.due_at is not None
    node.pending = []
    assert look(order, node, 1).invoice.state == InvoiceState.RETURNING  # type: ignore[union-attr]


def test_an_open_channel_whose_payment_is_not_settled_is_looked_at_again(node: ScriptedNode) -> None:
    order = OrderFactory(open=True, invoice__state=InvoiceState.HELD, attempts=False)
    row = OpeningFactory(order=order, confirmed=True)
    node.by_hash[order.hold_invoice.payment_hash] = held(order)  # and the node does not take our preimage
    node.open = [channel(Outpoint(row.transaction.txid, 0), order)]
    order = look(order, node, 1)
    assert [flag.kind for flag in order.standing] == [FlagKind.NOT_SETTLED] and order.due_at is not None
