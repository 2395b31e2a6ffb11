"""Past the point of no return: the funding is published until it is deep, and the payment settled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from lightning.errors import OutcomeUnknown, Rejected
from lightning.node import LndNode
from lightning.types import ChainTransaction
from orders import leases, marks, queries
from orders.causes import Cause, FlagKind
from orders.flags import flag, raise_flag
from orders.models import ChannelOpening, ChannelOrder, WalletTransaction
from orders.nudges import nudge, nudge_all
from orders.openings import cancelling, conflicting, promised
from orders.openings.tracing import is_anywhere, open_or_opening
from orders.payments import security
from orders.payments.rail import Security
from orders.states import OpeningState
from orders.transitions import locked, move_opening, note
from orders.wallet import broadcasting, budget, coins
from orders.wallet import transaction as machine
from orders.wallet.looking import wallet_transaction


def publish(order_id: UUID, node: LndNode) -> None:
    """The funding transaction is with the node: PUBLISHED; or it can never be, and is put out.

    Money: while PUBLISHING the payment is held; publishing is what earns it. What could not be settled is not
    published: it waits, and is put out once it is lost.
    Repeat: safe; the wallet is asked first, since a publish error proves nothing.
    Raises: NodeUnavailable, OutcomeUnknown.
    """
    order, opening, transaction = committed(order_id, OpeningState.PUBLISHING)
    if opening is None or transaction is None:
        return
    seen = wallet_transaction(node, transaction.txid)
    if seen is not None:
        _record_published(order_id, opening.pk, raw=seen.raw)
        return
    coins.renew(transaction, node)
    if ended_by_conflict(order, transaction, node):
        return
    payment = security.look(order, node)
    if opening.zero_conf and transaction.raw is not None:
        _publish_promised(order, opening, transaction, payment, node)
        return
    if transaction.raw is None and opening.zero_conf:
        words = (
            "The signed funding of a zero-conf channel was lost with our records: its buyer may have received over it."
        )
        flag(order_id, FlagKind.ZERO_CONF_UNFUNDED, words)
    if transaction.raw is None or payment.lost:
        conflicting.begin(order_id, node, reason="FUNDING_LOST" if transaction.raw is None else "PAYMENT_NOT_SECURED")
        return
    why_not_taken = security.obstacle(order)
    if why_not_taken:  # published it would be given away; the key may come back until the margin is gone
        flag(order_id, FlagKind.CANNOT_SETTLE, why_not_taken)
        return
    if not payment.secured:  # a deposit was taken back, and may return
        if _patience_is_over(opening):
            conflicting.begin(order_id, node, reason="PAYMENT_NOT_SECURED")
        return
    if open_or_opening(node, opening) is None:
        conflicting.begin(order_id, node, reason="FAILED_OPENING")  # published without its channel it would be burnt
        return
    try:
        broadcasting.publish(transaction, node)
    except (Rejected, OutcomeUnknown) as error:
        _refused(order, opening, error, node)
        return
    _record_published(order_id, opening.pk, raw=bytes(transaction.raw))


def _publish_promised(
    order: ChannelOrder, opening: ChannelOpening, transaction: WalletTransaction, payment: Security, node: LndNode
) -> None:
    """A zero-conf channel is in use: its funding is published whatever has become of its payment, and is never put out
    while the channel is there.
    """
    if not is_anywhere(node, opening):
        conflicting.begin(order.pk, node, reason="FAILED_OPENING")  # somebody has abandoned it
        return
    try:
        broadcasting.publish(transaction, node)
    except (Rejected, OutcomeUnknown) as error:
        _refused(order, opening, error, node)
        return
    unsecured = "" if payment.secured else payment.reason
    _record_published(order.pk, opening.pk, raw=bytes(transaction.raw or b""), unsecured=unsecured)


def committed(
    order_id: UUID, state: OpeningState
) -> tuple[ChannelOrder, ChannelOpening | None, WalletTransaction | None]:
    """The order with its live attempt in `state` and that attempt's transaction, or None for both."""
    order = queries.order_or_raise(order_id)
    opening = order.openings.filter(state=state).select_related("transaction", "conflict").first()
    return order, opening, opening.transaction if opening else None


def _refused(order: ChannelOrder, opening: ChannelOpening, error: Rejected | OutcomeUnknown, node: LndNode) -> None:
    """The node does not take the funding now. With patience it may; else we put it out and try with a better fee."""
    over = _patience_is_over(opening)
    seen = wallet_transaction(node, opening.transaction.txid) if over and opening.transaction else None
    if seen is not None:
        _record_published(order.pk, opening.pk, raw=seen.raw)  # the answer was lost, and it was published
        return
    with locked(order.pk) as held:
        current = held.openings.get(pk=opening.pk)
        reason = error.reason or "unknown"
        is_news = current.state == OpeningState.PUBLISHING and current.failure_reason != reason
        if is_news:
            current.failure_reason, current.failure_detail = reason, str(error)[:300]
            current.save()
            note(held, Cause.PUBLISHING_REFUSED, attempt=current.attempt, reason=reason)
        # A lost answer is no refusal until patience is over, whatever was told of it before.
        if (is_news and isinstance(error, Rejected)) or (over and current.state == OpeningState.PUBLISHING):
            raise_flag(held, FlagKind.PUBLISHING_REFUSED, f"The node refuses the funding transaction: {reason}.")
    if opening.zero_conf:
        return  # a person is told, and it is tried again: a conflict would take what the buyer has received
    if over and error.reason != "fee_too_low":
        conflicting.begin(order.pk, node, reason="FAILED_OPENING")
    elif over and conflicting.is_affordable(order, node):  # else: until the fees fall, or its payment asks for it
        conflicting.begin(order.pk, node, reason="FEE_TOO_HIGH")


def _patience_is_over(opening: ChannelOpening) -> bool:
    return opening.changed_at + timedelta(seconds=settings.PUBLISH_PATIENCE_SECONDS) <= timezone.now()


def ended_by_conflict(order: ChannelOrder, transaction: WalletTransaction, node: LndNode) -> bool:
    """A stranger's spend of our coin stands in the way; once it is 6 deep the attempt is cancelled."""
    other = broadcasting.rival(transaction, node, from_height=order.created_height)
    if other is None or other.confirmations == 0:
        return False
    deep = other.confirmations >= settings.FINAL_DEPTH_BLOCKS
    if deep and cancelling.begin(
        order.pk, reason="FUNDING_CONFLICT", detail=f"{other.txid} spends a coin of it.", conflict_is_deep=True
    ):
        cancelling.finish(order.pk, node)
    return True


def _record_published(order_id: UUID, opening_id: int, *, raw: bytes, unsecured: str = "") -> None:
    with locked(order_id) as order:
        opening = order.openings.select_related("transaction").get(pk=opening_id)
        if opening.state != OpeningState.PUBLISHING or opening.transaction is None:
            return
        machine.published(opening.transaction, raw)
        move_opening(order, opening, OpeningState.PUBLISHED, failure_reason="", failure_detail="")
        outpoint = opening.funding_outpoint
        note(
            order, Cause.FUNDING_PUBLISHED, attempt=opening.attempt, outpoint=outpoint, unsecured=unsecured or None
        )  # fmt: skip
        nudge(order)
    nudge_all(queries.waiting_for_peer(opening.node_pubkey, reason="PEER_BUSY"))


def watch(order_id: UUID, node: LndNode) -> None:
    """The published funding is on its way: leased, rebroadcast, bumped; CONFIRMED once it is 6 deep.

    Repeat: safe. Raises: NodeUnavailable, OutcomeUnknown.
    """
    order, opening, transaction = committed(order_id, OpeningState.PUBLISHED)
    if opening is None or transaction is None:
        return
    seen = wallet_transaction(node, transaction.txid)
    if seen is None:
        _forgotten(order, transaction, node)
        return
    if seen.confirmations < settings.FINAL_DEPTH_BLOCKS:
        coins.renew(transaction, node)
    if seen.confirmations == 0:
        if ended_by_conflict(order, transaction, node):
            return
        broadcasting.rebroadcast(transaction, node)
        _bump(order, transaction, node)
        _flag_unmined(order, transaction)
    _record_depth(order_id, opening.pk, seen)
    if seen.confirmations >= settings.FINAL_DEPTH_BLOCKS:
        _confirm(order_id, opening.pk, node)


def _forgotten(order: ChannelOrder, transaction: WalletTransaction, node: LndNode) -> None:
    """The wallet has lost the transaction (evicted, then restarted): it is published again."""
    if not ended_by_conflict(order, transaction, node):
        coins.renew(transaction, node)
        broadcasting.rebroadcast(transaction, node)


def _bump(order: ChannelOrder, transaction: WalletTransaction, node: LndNode) -> None:
    """A funding that stays unmined for long gets a child that pays for both, of what is left of the order's budget."""
    if not broadcasting.is_slow(transaction, timezone.now(), after_seconds=_patience_seconds(order)):
        return
    budget_sat = budget.for_child_sat(order, transaction)
    trouble = "The order's fee budget is used up."
    if budget_sat > 0:
        trouble = broadcasting.bump(transaction, node, budget_sat=budget_sat)
    with locked(order.pk) as held:
        transaction.bumped_at = timezone.now()
        transaction.save(update_fields=["bumped_at"])
        note(held, Cause.FUNDING_BUMPED, txid=transaction.txid, trouble=trouble)


def _patience_seconds(order: ChannelOrder) -> int:
    """How long its funding may stay unmined before a child pays for it."""
    return promised.bump_after_seconds(
        order.funding_confirms_within_blocks,
        usual_blocks=settings.FUNDING_CONF_TARGET,
        usual_seconds=settings.BUMP_AFTER_SECONDS,
    )


def _flag_unmined(order: ChannelOrder, transaction: WalletTransaction) -> None:
    now, after_seconds = timezone.now(), _patience_seconds(order)
    if broadcasting.is_beyond_help(transaction, now, after_seconds=after_seconds):
        words = "The funding transaction stays unmined, and has no change for a child: it waits for lower fees."
        flag(order.pk, FlagKind.UNMINED, words)
    elif broadcasting.is_stuck(transaction, now, after_seconds=after_seconds):
        words = "The funding transaction stays unmined, although it was published and bumped."
        flag(order.pk, FlagKind.UNMINED, words)


def _record_depth(order_id: UUID, opening_id: int, seen: ChainTransaction) -> None:
    """The lease counts from the funding block, as height and as time; a reorganisation moves both."""
    height = seen.block_height or None
    with locked(order_id) as order:
        opening = order.openings.select_related("transaction").get(pk=opening_id)
        transaction = opening.transaction
        if transaction is None or transaction.block_height == height:
            return
        transaction.block_height = height
        transaction.save(update_fields=["block_height"])
        order.lease_starts_height = height
        order.lease_starts_at = datetime.fromtimestamp(seen.at, UTC) if height else None
        leases.reckon(order)
        cause = Cause.FUNDING_MINED if height else Cause.FUNDING_UNMINED
        note(order, cause, attempt=opening.attempt, height=height)


def _confirm(order_id: UUID, opening_id: int, node: LndNode) -> None:
    coins.release(marks.lock_id(order_id), node)
    with locked(order_id) as order:
        opening = order.openings.select_related("transaction").get(pk=opening_id)
        if opening.state == OpeningState.PUBLISHED and opening.transaction is not None:
            move_opening(order, opening, OpeningState.CONFIRMED)
            machine.deep(opening.transaction)
            note(order, Cause.FUNDING_CONFIRMED, attempt=opening.attempt, depth=settings.FINAL_DEPTH_BLOCKS)
