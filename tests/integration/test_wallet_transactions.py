"""A transaction's own machine, whatever it is for and however many openings it carries."""

from __future__ import annotations

import itertools
from importlib import import_module
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from orders import marks
from orders.models import ChannelOpening, WalletTransaction
from orders.openings import cancelling, conflicting, publishing
from orders.states import LIVE_OPENINGS, TRANSACTION_MOVES, OpeningState, OrderState, TransactionState
from orders.transitions import IllegalMove, locked, move_transaction
from orders.wallet import transaction as machine
from tests.factories import (
    NodeFactory,
    OpeningFactory,
    OrderFactory,
    SnapshotFactory,
    TransactionFactory,
    pubkey,
    txid,
)
from tests.scripted import ScriptedNode, held, mined

pytestmark = pytest.mark.django_db


def test_every_state_has_its_moves_and_a_deep_transaction_stays() -> None:
    assert set(TRANSACTION_MOVES) == set(TransactionState)
    assert not TRANSACTION_MOVES[TransactionState.DEEP]


@pytest.mark.parametrize("before, after", list(itertools.product(TransactionState, TransactionState)))
def test_no_other_move_is_written(before: TransactionState, after: TransactionState) -> None:
    NodeFactory()  # whose books have what it costs
    row = TransactionFactory(state=before)
    came_later = (before, after) == (TransactionState.DEEP, TransactionState.PUBLISHED)
    if after in TRANSACTION_MOVES[before] | {before} or came_later:
        move_transaction(row.pk, after)
    else:
        with pytest.raises(IllegalMove):
            move_transaction(row.pk, after)
    row.refresh_from_db()
    assert row.state == (after if after in TRANSACTION_MOVES[before] else before)


def test_a_signed_transaction_has_its_bytes() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        TransactionFactory(state=TransactionState.SIGNED, raw=None)


def two_orders_on_one(attempts: OpeningState, **fields: object) -> tuple[WalletTransaction, list[ChannelOpening]]:
    row = TransactionFactory(**fields)
    openings = [
        OpeningFactory(
            order=OrderFactory(opening=True, node_pubkey=pubkey(50 + index), attempts=False),
            state=attempts,
            transaction=row,
            output_index=index,
        )
        for index in range(2)
    ]
    return row, openings


def test_one_transaction_opens_the_channels_of_two_orders() -> None:
    """Each order hears of it for itself; the second finds it as the first has left it."""
    row, openings = two_orders_on_one(OpeningState.PUBLISHING, state=TransactionState.SIGNED, published_at=None)
    node = ScriptedNode()
    node.wallet[row.txid] = mined(row.txid, confirmations=6, height=795)
    for opening in openings:
        node.by_hash[opening.order.hold_invoice.payment_hash] = held(opening.order)
        publishing.publish(opening.order_id, node)  # type: ignore[arg-type]
        publishing.watch(opening.order_id, node)  # type: ignore[arg-type]
        opening.refresh_from_db()
        assert opening.state == OpeningState.CONFIRMED
    row.refresh_from_db()
    assert row.state == TransactionState.DEEP and row.published_at is not None


def test_a_rival_that_is_deep_ends_the_attempts_of_both() -> None:
    SnapshotFactory()
    row, openings = two_orders_on_one(OpeningState.PUBLISHED)
    node = ScriptedNode()
    for opening in openings:
        node.by_hash[opening.order.hold_invoice.payment_hash] = held(opening.order)
        assert cancelling.begin(opening.order_id, reason="FUNDING_CONFLICT", conflict_is_deep=True)
        cancelling.finish(opening.order_id, node)  # type: ignore[arg-type]
        opening.refresh_from_db()
        assert opening.state == OpeningState.FAILED and opening.state not in LIVE_OPENINGS
        assert opening.order.state == OrderState.URI_SET
    row.refresh_from_db()
    assert row.state == TransactionState.EXCLUDED


def test_two_openings_never_have_one_output() -> None:
    row, _ = two_orders_on_one(OpeningState.PUBLISHED)
    with pytest.raises(IntegrityError), transaction.atomic():
        OpeningFactory(order=OrderFactory(uri_set=True, node_pubkey=pubkey(60)), transaction=row, output_index=1)


def test_one_version_of_a_conflict_wins_and_the_others_never_will() -> None:
    order = OrderFactory(opening=True)
    label = f"conflict:{order.pk}"
    versions = [
        TransactionFactory(kind="conflict", label=label, txid=txid(f"version {n}"), state=TransactionState.SIGNED)
        for n in range(3)
    ]
    with locked(order.pk):
        machine.decided(versions[2], versions[1].txid)
    states = [row.state for row in WalletTransaction.objects.filter(label=label).order_by("pk")]
    assert states == [TransactionState.EXCLUDED, TransactionState.DEEP, TransactionState.EXCLUDED]


def test_a_process_that_dies_once_the_attempt_is_cancelled_has_recorded_who_won(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cancelled attempt's conflict is looked at by nobody again: its row would stay open for ever."""
    order = OrderFactory(opening=True, attempts=False)
    conflict = TransactionFactory(kind="conflict", label=f"conflict:{order.pk}", state=TransactionState.PUBLISHED)
    opening = OpeningFactory(order=order, state=OpeningState.CONFLICTING, conflict=conflict)
    assert opening.transaction is not None
    node = ScriptedNode()
    node.wallet[conflict.txid] = mined(conflict.txid, confirmations=6, height=795, inputs=opening.transaction.spends)

    begin = cancelling.begin

    def begin_and_die(*args: Any, **words: Any) -> None:
        assert begin(*args, **words)
        raise KeyboardInterrupt

    monkeypatch.setattr(cancelling, "begin", begin_and_die)
    with pytest.raises(KeyboardInterrupt):
        conflicting.push(order.pk, node)  # type: ignore[arg-type]
    opening.refresh_from_db()
    conflict.refresh_from_db()
    assert (opening.state, conflict.state) == (OpeningState.CANCELLING, TransactionState.DEEP)


def test_a_drafted_transaction_that_the_wallet_has_is_signed_by_its_bytes() -> None:
    """Our records had lost what was signed; the wallet has it."""
    row, (opening, _) = two_orders_on_one(OpeningState.PUBLISHING, state=TransactionState.DRAFTED, raw=None)
    with locked(opening.order_id):
        machine.published(row, b"what was signed")
    row.refresh_from_db()
    assert (row.state, bytes(row.raw or b"")) == (TransactionState.PUBLISHED, b"what was signed")


def test_who_gives_up_one_channel_writes_off_no_transaction_that_another_lives_on() -> None:
    row, openings = two_orders_on_one(OpeningState.PUBLISHED)
    node = ScriptedNode()
    SnapshotFactory()
    left = []
    for opening in openings:
        node.by_hash[opening.order.hold_invoice.payment_hash] = held(opening.order)
        assert cancelling.begin(opening.order_id, reason="FAILED_OPENING", conflict_is_deep=True)
        cancelling.finish(opening.order_id, node)  # type: ignore[arg-type]
        row.refresh_from_db()
        left.append(row.state)
    assert left == [TransactionState.PUBLISHED, TransactionState.EXCLUDED]


@pytest.mark.parametrize(
    ("kind", "attempt", "published", "raw", "expected"),
    [
        ("funding", "confirmed", True, b"raw", "deep"),
        ("funding", "published", True, b"raw", "published"),
        ("funding", "failed", False, b"raw", "excluded"),
        ("funding", "publishing", False, b"raw", "signed"),
        ("funding", "publishing", True, b"raw", "published"),
        ("funding", "funded", False, None, "drafted"),
        ("funding", "cancelling", False, b"raw", "signed"),
        ("funding", None, True, b"raw", "excluded"),
        ("conflict", "confirmed", True, b"raw", "excluded"),
        ("conflict", "published", True, b"raw", "excluded"),
        ("conflict", "failed", True, b"raw", "deep"),
        ("conflict", "failed", False, b"raw", "excluded"),
        ("conflict", "conflicting", True, b"raw", "published"),
        ("conflict", "conflicting", False, b"raw", "signed"),
        ("conflict", None, False, b"raw", "excluded"),
    ],
)
def test_one_statement_gives_every_transaction_its_state(
    kind: str, attempt: str | None, published: bool, raw: bytes | None, expected: str
) -> None:
    migration = import_module("orders.migrations.0006_transactions_have_states")
    order = OrderFactory(uri_set=True, node_pubkey=pubkey(70))
    row = TransactionFactory(
        kind=kind,
        label=f"{kind}:{order.pk}",
        lock_id=b"",
        state="drafted",
        raw=raw,
        published_at=timezone.now() if published else None,
    )
    if attempt is not None:
        OpeningFactory(order=order, state=attempt, **{"transaction" if kind == "funding" else "conflict": row})
    with connection.cursor() as cursor:
        cursor.execute(migration.STATES)
    row.refresh_from_db()
    assert (row.state, bytes(row.lock_id)) == (expected, marks.lock_id(order.pk))
