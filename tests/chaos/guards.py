"""Each function takes one guard out of the server, in the process that calls it: so that tests see what it is for.

What a guard protects is in docs/design/opening.md and in the operation that has it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import UUID

from django.db import transaction

from lightning import types
from lightning.node import LndNode
from orders import journal, keys, queries
from orders.actors import LSP
from orders.causes import COINS_PROMISED_ELSEWHERE, Cause
from orders.models import ChannelOpening, ChannelOrder, OrderEvent, WalletTransaction
from orders.openings import cancelling, committing, opening, publishing, silent, tracing
from orders.operations import creating, giving_way, shaping
from orders.payments import counting
from orders.payments import lightning as lightning_rail
from orders.payments.lightning import returning, settling
from orders.states import OpeningState, OrderState
from orders.transitions import locked
from orders.wallet import coins

GUARDS: dict[str, Callable[[], None]] = {}


def _guard(out: Callable[[], None]) -> Callable[[], None]:
    GUARDS[out.__name__] = out
    return out


@_guard
def settling_waits_for_publishing() -> None:
    """Settled as soon as an attempt begins."""
    attempt = opening.attempt

    def settled_first(order: ChannelOrder, node: LndNode, *more: Any) -> None:
        node.settle_invoice(keys.preimage(order.pk))
        attempt(order, node, *more)

    opening.attempt = settled_first  # type: ignore[assignment]


@_guard
def the_node_says_what_is_settled() -> None:
    """Recorded as settled before the node is asked to."""
    settle = lightning_rail.settle

    def recorded_first(order_id: UUID, node: LndNode) -> None:
        if ChannelOpening.objects.filter(order=order_id, state=OpeningState.PUBLISHED).exists():
            settling._record_settling(order_id, types.NodeInvoiceState.SETTLED, 0)
            node.settle_invoice(keys.preimage(order_id))
        settle(order_id, node)

    lightning_rail.settle = recorded_first  # type: ignore[assignment]


@_guard
def the_node_says_what_is_returned() -> None:
    """Recorded as returned before the node is asked to."""
    finish = lightning_rail.finish_return

    def recorded_first(order_id: UUID, node: LndNode) -> None:
        returning.record_cancelled(order_id)
        finish(order_id, node)

    lightning_rail.finish_return = recorded_first  # type: ignore[assignment]


@_guard
def settling_is_looked_at_again() -> None:
    """Settled by who has published, or never."""
    _only_after(publishing, "_record_published", lightning_rail, "settle")


@_guard
def publishing_is_looked_at_again() -> None:
    """Published by who has signed, or never."""
    _only_after(committing, "_record_committed", publishing, "publish")


def _only_after(earlier: Any, first: str, later: Any, then: str) -> None:
    """`then` does nothing in a process that has not done `first`."""
    done: list[bool] = []
    do_first, do_then = getattr(earlier, first), getattr(later, then)

    def noted(*args: Any, **options: Any) -> Any:
        done.append(True)
        return do_first(*args, **options)

    def only_then(*args: Any, **options: Any) -> Any:
        return do_then(*args, **options) if done else None

    setattr(earlier, first, noted)
    setattr(later, then, only_then)


@_guard
def the_journal_is_written_with_the_move() -> None:
    """Written in a transaction of its own, after the move's."""
    create = OrderEvent.objects.create

    class Later:
        def create(self, **fields: Any) -> None:
            transaction.on_commit(lambda: create(**fields))

    class Events:
        objects = Later()

    journal.OrderEvent = Events  # type: ignore[misc, assignment]


@_guard
def a_silent_attempt_is_cancelled_at_the_node() -> None:
    """Written off in our records alone."""

    def written_off(order_id: UUID, node: LndNode) -> None:
        live = ChannelOpening.objects.get(order=order_id, state=OpeningState.CANCELLING)
        cancelling._record_failed(order_id, live.pk, still_secured=True)

    cancelling.finish = written_off  # type: ignore[assignment]


@_guard
def a_cancelled_channel_is_abandoned() -> None:
    """Nobody looks whether the attempt has left a channel."""

    def nothing_left(_opening: ChannelOpening, _node: LndNode) -> set[types.Outpoint]:
        return set()

    cancelling._left_behind = nothing_left  # type: ignore[assignment]


@_guard
def a_cancelled_attempt_releases_its_coins() -> None:
    """Nobody looks what it has leased."""

    def nothing_held(_lock_id: bytes, _node: LndNode) -> list[types.Outpoint]:
        return []

    coins.held = nothing_held  # type: ignore[assignment]


@_guard
def cancelling_is_looked_at_again() -> None:
    """Finished by who has begun, or never."""
    _only_after(cancelling, "begin", cancelling, "finish")


@_guard
def nothing_is_published_without_its_channel() -> None:
    """The channel is taken for granted."""
    look = tracing.open_or_opening

    def granted(node: LndNode, outpoint: types.Outpoint) -> Any:
        return look(node, outpoint) or object()

    for module in (tracing, publishing):
        module.open_or_opening = granted  # type: ignore[attr-defined]


@_guard
def a_promise_is_kept_once_the_channel_is_there() -> None:
    """Of a zero-conf channel too it is taken for granted."""
    nothing_is_published_without_its_channel()
    tracing.is_anywhere = publishing.is_anywhere = lambda node, outpoint: True  # type: ignore[assignment]


@_guard
def a_zero_conf_channel_is_kept() -> None:
    """What falls silent is cancelled as any other: its channel is abandoned."""

    def cancelled(live: ChannelOpening, node: LndNode) -> None:
        cancelling.cancel(live.order_id, node, reason="NODE_NOT_READY", only=live.pk, never_was=True)

    silent._keep_or_end = cancelled
    cancelling._may_be_in_use = lambda order, opening, node: False


@_guard
def a_key_stands_for_one_order() -> None:
    """The idempotency key is not remembered."""
    creating._claim_key = lambda idempotency: None  # type: ignore[assignment]


@_guard
def who_was_told_to_go_is_looked_for() -> None:
    """Only a nudge tells of it."""
    queries.giving_way = list


@_guard
def a_quote_ends_with_its_invoice() -> None:
    """The order ends; what becomes of its invoice is nobody's concern."""

    def ended(order_id: UUID) -> None:
        with locked(order_id) as order:
            if order.state == OrderState.CREATED:
                order.give_up_reason = COINS_PROMISED_ELSEWHERE
                counting.end_unpaid(order, cause=Cause.GAVE_WAY, actor=LSP)

    giving_way.end_quote = ended


@_guard
def a_reshaping_is_stored_before_it_is_published() -> None:
    """Published, and then recorded."""
    record = shaping._record_drafted

    def published_first(plan: Any, node: LndNode) -> WalletTransaction:
        row: dict[str, Any] = {}
        unsaved = SimpleNamespace(objects=SimpleNamespace(create=lambda **fields: row.update(fields)))
        with patch.object(shaping, "WalletTransaction", unsaved):
            record(plan, node)
        node.publish(node.finalize_psbt(row["psbt"]).raw, label=row["label"])
        return WalletTransaction.objects.create(**row)

    shaping._record_drafted = published_first


@_guard
def a_reshaping_is_gone_on_with() -> None:
    """By who has begun it, or never."""
    shaping.go_on = lambda node: shaping.under_way()


@_guard
def what_a_reshaping_has_leased_is_freed() -> None:
    """Where nothing was recorded nobody looks what is leased."""
    go_on = shaping.go_on
    shaping.go_on = lambda node: go_on(node) if shaping.under_way() is not None else None


@_guard
def there_is_one_reshaping_at_a_time() -> None:
    """Nobody asks what became of the last."""
    carry_out = shaping.carry_out

    def beside_others(plan: Any, node: LndNode) -> WalletTransaction:
        with patch.object(shaping, "under_way", lambda: None):
            return carry_out(plan, node)

    shaping.carry_out = beside_others
