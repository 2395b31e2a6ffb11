"""A close that is wanted is asked of the node: looked at first, recorded before and after. See operations.closing."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from lightning import rights
from lightning.errors import LightningError, NodeUnavailable, OutcomeUnknown
from lightning.node import LndNode
from lightning.rights import Feature
from lightning.types import Channel
from orders import queries
from orders.actors import LSP
from orders.causes import Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelClosing, ChannelOrder, SwitchName
from orders.nudges import nudge
from orders.openings import tracing, undone
from orders.openings.retrying import pause
from orders.openings.turns import Turn
from orders.operations import closing as wanted
from orders.states import LIVE_CLOSINGS, ClosingState, OpeningState
from orders.transitions import locked, move_closing, note

log = logging.getLogger(__name__)

#: Why a close waits, where the node was not asked.
PAUSED: Final = "CLOSINGS_PAUSED"
NO_RIGHT: Final = "MACAROON_LACKS_A_RIGHT"
_UNKNOWN: Final = "OUTCOME_UNKNOWN"
#: Why a close is taken back.
_ANOTHER: Final = "Its channel is another one."
_SOON: Final = timedelta(seconds=60)
_SELDOM: Final = timedelta(minutes=10)
#: What cannot be closed for so long needs a person, who may close it by force.
_STUCK: Final = timedelta(days=3)
#: So LND refuses before it says a word to the peer. Whatever else it says may come after that: the peer has its
#: signature then, and may publish what they agreed on.
_NEVER_BEGUN: Final = frozenset({"PEER_NOT_REACHABLE", "payments_under_way", "not_open", "unknown_channel"})


def go_on(order: ChannelOrder, node: LndNode, now: datetime, turn: Turn) -> datetime | None:
    """A close that waits is one step further; when to look at it again. None: none waits.

    Money: the node is asked only for a channel that it has open, and once the intent is committed. Where its answer is
    lost the next look finds the channel closing (orders.openings.following), or asks once more: whatever was asked
    how often, one transaction spends the funding.
    Repeat: safe. Raises: NodeUnavailable; Elsewhere, before anything is recorded of the asking.
    """
    closing = queries.live_closing(order)
    if closing is not None and wanted.channel_of(order) != closing.opening:
        _take_back(order.pk)
        return None
    if closing is None or closing.state != ClosingState.WAITING:
        return None
    if closing.tries and order.due_at is not None and order.due_at > now:
        return order.due_at  # it waits after a failure; whoever knows better nudges
    if (why := _keeps(closing, node)) is not None:
        _postpone(order.pk, closing.pk, *why, was_asked=closing.asked_at)
        return now + _SELDOM
    channel = _open_channel(closing, node)
    if channel is None:
        return now + _SOON
    if not closing.is_forced:
        turn.enter_to_close(order)
    if not _intend(order.pk, closing.pk):
        return now + _SOON
    return _ask(order, closing, channel, node)


def end_undone() -> None:
    """No close is wanted of a channel that never was: whoever put its attempt out ends it, and older versions did not.

    Money: none; the node is not asked, which has nothing of it to close. Repeat: safe.
    """
    rows = ChannelClosing.objects.filter(state__in=LIVE_CLOSINGS, opening__state=OpeningState.FAILED)
    for order_id in rows.values_list("order_id", flat=True):
        with locked(order_id) as order:
            closing = queries.live_closing(order)
            if closing is not None and closing.opening.state == OpeningState.FAILED:
                undone.end_closing(order)


def _take_back(order_id: UUID) -> None:
    """No close of another channel than the order's is wanted any more."""
    with locked(order_id) as order:
        closing = queries.live_closing(order)
        if closing is not None and wanted.channel_of(order) != closing.opening:
            wanted.take_back(order, _ANOTHER, actor=LSP)


def _keeps(closing: ChannelClosing, node: LndNode) -> tuple[str, str] | None:
    """Why the node is not asked now: a word, and a sentence. Asked before each close, so that a row of them stops."""
    paused = queries.paused(SwitchName.CLOSINGS)
    if paused is not None:
        return PAUSED, paused.reason
    method = rights.lacking(Feature.CLOSING, node)
    return (NO_RIGHT, f"The macaroon does not allow {method}.") if method else None


def _open_channel(closing: ChannelClosing, node: LndNode) -> Channel | None:
    """The channel at the node, where it is open, in whatever sense."""
    return tracing.open_channel(closing.opening, node)


def _intend(order_id: UUID, closing_id: int) -> bool:
    """On record is that the node is being asked; False where that is not so any more."""
    with locked(order_id) as order:
        closing = ChannelClosing.objects.get(pk=closing_id)
        if closing.state != ClosingState.WAITING or queries.paused(SwitchName.CLOSINGS) is not None:
            return False
        is_here = wanted.channel_of(order) == closing.opening
        kept = "" if closing.overrides_lease else wanted.lease_objection(order, overriding=False)
        if not is_here or (kept and not closing.may_have_begun):
            wanted.take_back(order, kept or _ANOTHER, actor=LSP)
            return False
        closing.tries += 1
        closing.asked_at = closing.asked_at or timezone.now()
        closing.save(update_fields=["tries", "asked_at"])
    return True


def _ask(order: ChannelOrder, closing: ChannelClosing, channel: Channel, node: LndNode) -> datetime:
    try:
        txid = node.close_channel(channel.outpoint, force=closing.is_forced, conf_target=settings.FUNDING_CONF_TARGET)
    except NodeUnavailable as error:
        _postpone(order.pk, closing.pk, error.reason or "NODE_UNAVAILABLE", str(error), was_asked=closing.asked_at)
        raise
    except OutcomeUnknown as error:
        return _put_off(order, closing, error, _UNKNOWN, was_asked=closing.asked_at or timezone.now())
    except LightningError as error:
        was_asked = closing.asked_at if error.reason in _NEVER_BEGUN else closing.asked_at or timezone.now()
        return _put_off(order, closing, error, error.reason or type(error).__name__, was_asked=was_asked)
    _record_begun(order.pk, closing.pk, txid)
    return timezone.now() + _SOON


def _put_off(
    order: ChannelOrder, closing: ChannelClosing, error: LightningError, trouble: str, *, was_asked: datetime | None
) -> datetime:
    log.warning("order=%s its channel is not closed: %s: %s", order.pk, type(error).__name__, error)
    _postpone(order.pk, closing.pk, trouble, str(error), was_asked=was_asked)
    return timezone.now() + pause(closing.tries + 1)


def _record_begun(order_id: UUID, closing_id: int, txid: str) -> None:
    with locked(order_id) as order:
        closing = ChannelClosing.objects.get(pk=closing_id)
        if closing.state == ClosingState.WAITING:
            move_closing(order, closing, ClosingState.UNDER_WAY, txid=txid, trouble="", detail="")
            note(order, Cause.CLOSE_BEGUN, actor=LSP, txid=txid, kind=closing.kind)
        nudge(order)


def _postpone(order_id: UUID, closing_id: int, trouble: str, detail: str, *, was_asked: datetime | None) -> None:
    """It waits, and says why. `was_asked`: since when the node may have begun; None: surely it has not."""
    with locked(order_id) as order:
        closing = ChannelClosing.objects.get(pk=closing_id)
        if closing.state != ClosingState.WAITING:
            return
        if closing.trouble != trouble:
            note(order, Cause.CLOSE_POSTPONED, actor=LSP, reason=trouble, detail=detail[:300])
        closing.trouble, closing.detail, closing.asked_at = trouble[:64], detail[:300], was_asked
        closing.save(update_fields=["trouble", "detail", "asked_at"])
        if closing.created_at + _STUCK <= timezone.now() and trouble != PAUSED:
            words = f"Its channel cannot be closed for days: {trouble}."
            raise_flag(order, FlagKind.CLOSE_STUCK, words, actor=LSP)
