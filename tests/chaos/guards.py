"""Each function takes one guard out of the server, in the process that calls it: so that tests see what it is for.

What a guard protects is in docs/design/opening.md and in the operation that has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction

from lightning import types
from lightning.node import LndNode
from orders import journal, keys
from orders.models import ChannelOpening, OrderEvent
from orders.openings import cancelling, committing, opening, publishing, tracing
from orders.openings.turns import Turn
from orders.operations import creating
from orders.payments import lightning as lightning_rail
from orders.payments.lightning import returning, settling
from orders.states import OpeningState
from orders.wallet import coins

GUARDS: dict[str, Callable[[], None]] = {}


def take_out(name: str) -> None:
    """The guard is gone from this process and its children."""
    GUARDS[name]()


def _guard(out: Callable[[], None]) -> Callable[[], None]:
    GUARDS[out.__name__] = out
    return out


@_guard
def settling_waits_for_publishing() -> None:
    """Settled as soon as an attempt begins."""
    attempt = opening.attempt

    def settled_first(order_id: UUID, node: LndNode, *turn: Turn) -> None:
        node.settle_invoice(keys.preimage(order_id))
        attempt(order_id, node, *turn)

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
def a_key_stands_for_one_order() -> None:
    """The idempotency key is not remembered."""
    creating._claim_key = lambda idempotency: None  # type: ignore[assignment]
