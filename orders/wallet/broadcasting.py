"""A signed transaction of ours is brought into the chain: published, published again, and paid for by a child."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from lightning.errors import InsufficientFunds, NotFound, Rejected
from lightning.node import LndNode
from lightning.types import ChainTransaction, Outpoint
from orders.models import WalletTransaction
from orders.wallet.looking import conflicting_spend


def publish(transaction: WalletTransaction, node: LndNode) -> None:
    """It is with the network.

    Repeat: safe, but an error proves nothing: look whether the wallet has it. Raises: Rejected, OutcomeUnknown.
    """
    node.publish(bytes(transaction.raw or b""), label=transaction.label)


def rebroadcast(transaction: WalletTransaction, node: LndNode) -> None:
    """As `publish`, for one that was published before: what the mempool says now is tried again at the next look.

    Raises: OutcomeUnknown.
    """
    if transaction.raw is not None:
        try:
            publish(transaction, node)
        except Rejected:
            return


def rival(transaction: WalletTransaction, node: LndNode, *, from_height: int) -> ChainTransaction | None:
    """The deepest other transaction that spends one of its coins."""
    return conflicting_spend(node, from_height=from_height, inputs=transaction.spends, ours=transaction.txid)


def is_slow(transaction: WalletTransaction, now: datetime, *, after_seconds: int) -> bool:
    """It stays unmined for so long, and has change that a child could spend."""
    since = transaction.bumped_at or transaction.published_at
    return transaction.change_index >= 0 and since is not None and since + timedelta(seconds=after_seconds) <= now


def is_beyond_help(transaction: WalletTransaction, now: datetime, *, after_seconds: int) -> bool:
    """It stays unmined for so long, and no child of ours can pay for it: it has no change."""
    since = transaction.published_at
    return transaction.change_index < 0 and since is not None and since + timedelta(seconds=after_seconds) <= now


def is_stuck(transaction: WalletTransaction, now: datetime, *, after_seconds: int) -> bool:
    """It stays unmined although it was published, and should have been bumped."""
    since = transaction.published_at
    return since is not None and since + timedelta(seconds=2 * after_seconds) <= now


def bump(transaction: WalletTransaction, node: LndNode, *, budget_sat: int) -> str:
    """A child pays for both, no more than this in all; else what the node said: mined now, or its change is spent.

    Repeat: safe. Raises: OutcomeUnknown.
    """
    try:
        node.bump_fee(
            Outpoint(transaction.txid, transaction.change_index),
            conf_target=settings.FUNDING_CONF_TARGET,
            budget_sat=budget_sat,
        )
    except (Rejected, NotFound, InsufficientFunds) as error:
        return str(error)[:300]
    return ""
