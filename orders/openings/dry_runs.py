"""A peer is asked for a channel up to its `accept_channel`, and told that it was nothing: only it knows what it takes.

No coin is leased and nothing is signed, so no money can move. What it costs is the peer's one place for a pending
channel, for a moment; so whoever really opens a channel to that peer ends it first.
"""

from __future__ import annotations

import logging
import random
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from lightning.errors import LightningError, Rejected
from lightning.node import LndNode, Negotiation
from orders import limits, queries
from orders.models import DryRun, SwitchName
from orders.openings.reasons import FAILED_OPENING, known, reason_of

log = logging.getLogger(__name__)

#: So long an answer counts, and the same is not asked again.
AGAIN: Final = timedelta(hours=1)
#: How often anybody's word makes us ask a peer: of one client, and of all together.
OF_CLIENT: Final = "3/min"
OF_ALL: Final = "20/min"
_TOGETHER: Final = 5
#: One that takes longer has died with its process: its place at the peer is freed by whoever finds it.
_LONGEST: Final = timedelta(seconds=60)
_KEPT: Final = timedelta(days=7)
_CLEANING_IN: Final = 50


@dataclass(frozen=True, slots=True)
class Wanted:
    """The channel that the peer is asked for."""

    pubkey: str
    capacity_sat: int
    push_sat: int
    announced: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What the peer has said. `reason` is empty where it would take the channel."""

    reason: str
    detail: str = ""


def run(wanted: Wanted, node: LndNode, *, client: str, seconds: float) -> Answer | None:
    """What the connected peer answers, or has answered within the hour; None: it was not asked, or has not answered.

    Money: none; nothing is leased, nothing signed. Whatever comes of it, node and peer have forgotten it afterwards.
    Repeat: safe; the same channel is asked for once in an hour, whoever wants to know.
    """
    begun = _intend(wanted, client)
    if not isinstance(begun, DryRun):
        return begun
    answer: Answer | None = None
    try:
        answer = _ask(begun, node, seconds)
    finally:
        _record(begun, answer, is_over=_cancel(bytes(begun.pending_chan_id), node))
    return answer


def _intend(wanted: Wanted, client: str) -> DryRun | Answer | None:
    """Recorded before the peer hears of it; or what it said before, or nothing where it may not be asked."""
    now = timezone.now()
    known_row = _of(wanted).first()
    if known_row is not None and now - AGAIN < known_row.begun_at <= now:
        return _answer(known_row)
    if _is_busy(wanted.pubkey) or queries.paused(SwitchName.OPENINGS) is not None or not _may_ask(client):
        return None
    with transaction.atomic():
        DryRun.objects.bulk_create([_never_asked(wanted, now - 2 * AGAIN)], ignore_conflicts=True)
        row = _of(wanted).select_for_update().get()
        if now - AGAIN < row.begun_at <= now:  # another was quicker
            return _answer(row)
        row.begun_at, row.ended_at, row.pending_chan_id = now, None, secrets.token_bytes(32)
        row.accepted, row.reason, row.detail = None, "", ""
        row.save()
        _forget_old(now)
    return row


def _never_asked(wanted: Wanted, at: datetime) -> DryRun:
    return DryRun(
        node_pubkey=wanted.pubkey,
        capacity_sat=wanted.capacity_sat,
        push_sat=wanted.push_sat,
        announced=wanted.announced,
        pending_chan_id=b"",
        begun_at=at,
        ended_at=at,
    )


def _of(wanted: Wanted) -> QuerySet[DryRun]:
    return DryRun.objects.filter(
        node_pubkey=wanted.pubkey,
        capacity_sat=wanted.capacity_sat,
        push_sat=wanted.push_sat,
        announced=wanted.announced,
    )


def _answer(row: DryRun) -> Answer | None:
    return None if row.accepted is None else Answer(row.reason, row.detail)


def _is_busy(pubkey: str) -> bool:
    """A real attempt, or another dry run, has the peer's place."""
    since = timezone.now() - _LONGEST
    under_way = DryRun.objects.filter(node_pubkey=pubkey, ended_at=None, begun_at__gte=since)
    return queries.peer_is_taken(pubkey) or under_way.exists()


def _may_ask(client: str) -> bool:
    times = 1 if client else _TOGETHER
    return (
        limits.wait_seconds(f"dry-run:{client}", OF_CLIENT, times=times) is None
        and limits.wait_seconds("dry-run", OF_ALL) is None
    )


def _ask(row: DryRun, node: LndNode, seconds: float) -> Answer | None:
    """Only what the peer itself has said is an answer; what else ended it, we perhaps, is none."""
    negotiation: Negotiation | None = None
    try:
        negotiation = node.open_channel(
            pubkey=row.node_pubkey,
            pending_chan_id=bytes(row.pending_chan_id),
            capacity_sat=row.capacity_sat,
            push_sat=row.push_sat,
            private=not row.announced,
            memo="",
        )
        if queries.peer_is_taken(row.node_pubkey):  # an attempt that began meanwhile may have missed us
            return None
        negotiation.funding_request(timeout_seconds=seconds)
    except Rejected as error:
        reason = known(reason_of(error))
        return None if reason == FAILED_OPENING else Answer(reason, str(error)[:300])
    except LightningError:
        return None
    finally:
        if negotiation is not None:
            negotiation.close()
    return Answer("")


def _cancel(chan_id: bytes, node: LndNode) -> bool:
    try:
        node.cancel_shim(chan_id)
    except LightningError as error:
        log.warning("a dry run could not be cancelled, and will be later: %s", error)
        return False
    return True


def _record(row: DryRun, answer: Answer | None, *, is_over: bool) -> None:
    """What was said. Where the node did not hear that it is over, whoever comes next tells it."""
    said: dict[str, Any] = {"ended_at": timezone.now() if is_over else None}
    if answer is not None:
        said |= {"accepted": not answer.reason, "reason": answer.reason, "detail": answer.detail}
    DryRun.objects.filter(pk=row.pk, begun_at=row.begun_at).update(**said)


def give_way(pubkey: str, node: LndNode) -> None:
    """No dry run with this peer is under way: a real attempt begins, which is recorded already.

    Repeat: safe. Without the setting nothing is asked.
    """
    if settings.PREFLIGHT_DRY_RUN:
        for row in DryRun.objects.filter(node_pubkey=pubkey, ended_at=None):
            _cancel(bytes(row.pending_chan_id), node)


def end_forgotten(node: LndNode) -> None:
    """What a death has left of a dry run, at the node and at the peer, is gone. Repeat: safe."""
    if not settings.PREFLIGHT_DRY_RUN:
        return
    for row in DryRun.objects.filter(ended_at=None, begun_at__lt=timezone.now() - _LONGEST):
        if _cancel(bytes(row.pending_chan_id), node):
            DryRun.objects.filter(pk=row.pk, ended_at=None, begun_at=row.begun_at).update(ended_at=timezone.now())


def _forget_old(now: datetime) -> None:
    if random.randrange(_CLEANING_IN) == 0:  # noqa: S311  no secret
        DryRun.objects.filter(begun_at__lt=now - _KEPT, ended_at__isnull=False).delete()
