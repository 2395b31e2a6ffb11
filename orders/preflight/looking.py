"""What is known of a buyer's node before the buyer pays: our records, and what our own node sees of it.

A stranger must not use us to dial: docs/design/preflight.md has the bounds, docs/design/admission.md why.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from threading import BoundedSemaphore
from time import monotonic, sleep
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from lightning import dialling, shared
from lightning.errors import LightningError
from lightning.node import LndNode
from lightning.refusals import told_limits
from lightning.types import NodeAddress, Peer
from orders import limits
from orders.models import ChannelOpening
from orders.openings import dry_runs
from orders.preflight.rules import Asked, Facts, Past
from orders.states import LIVE_OPENINGS, OpeningState

log = logging.getLogger(__name__)

#: What a node did longer ago says little of what it would do now; and of so many attempts the rest says the same.
_REMEMBERED: Final = timedelta(days=30)
_MOST_PAST: Final = 20
#: A buyer waits no longer for his own node, and others, who buy too, not at all.
PATIENCE_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.2
#: And what our own node does not tell so soon is not known.
_NODE_SECONDS: Final = 2.0
#: Strangers that are waited for at a time, in each process: the other places of those who buy stay free.
_AT_ONCE: Final = 1
#: How often anybody's word makes us dial: of one client, to one node, and of all together.
DIALS_OF_CLIENT: Final = "6/min"
DIALS_OF_PEER: Final = "3/min"
DIALS: Final = "30/min"
#: Who cannot be told apart is counted as so many.
_TOGETHER: Final = 5

_waiting = BoundedSemaphore(_AT_ONCE)
#: Of its own: who waits for the list costs nothing, and must keep nobody from having his node dialled.
_listing = BoundedSemaphore(_AT_ONCE)


def recorded(asked: Asked) -> Facts:
    """What our own records have of the peer; no node is asked."""
    since = timezone.now() - _REMEMBERED
    rows = ChannelOpening.objects.filter(node_pubkey=asked.pubkey, created_at__gte=since)
    rows = rows.exclude(state__in=LIVE_OPENINGS).order_by("-created_at")[:_MOST_PAST]
    fields = ("state", "failure_reason", "failure_detail", "announced", "capacity_sat", "push_sat")
    return Facts(past=tuple(_past(*row) for row in rows.values_list(*fields)))


def _past(state: str, reason: str, detail: str, announced: bool, capacity_sat: int, push_sat: int) -> Past:
    least_sat, most_sat = told_limits(detail)
    word = "" if state == OpeningState.CONFIRMED else reason or "FAILED_OPENING"
    return Past(word, announced, capacity_sat, push_sat, least_sat, most_sat)


def looked_at(asked: Asked, node: LndNode, client: str) -> Facts:
    """The same, with what our node sees of the peer, and where that is set, what the peer answers to a dry run.

    Money: none. It costs the buyer PATIENCE_SECONDS at most beyond what our own node takes, and whatever our node does
    not tell is not known.
    """
    facts = recorded(asked)
    until = monotonic() + PATIENCE_SECONDS
    try:
        facts = _with_channels(facts, asked, node)
        peer = _peer(asked, node)
        if peer is None:
            facts, peer = _reached(facts, asked, node, client, until)
        facts = replace(facts, connected=peer is not None, features=peer.features if peer else None)
    except LightningError as error:
        log.info("a buyer's node was not looked at: %s", error)
        return facts
    if peer is None or not settings.PREFLIGHT_DRY_RUN or facts.pending:
        return facts
    return _with_dry_run(facts, asked, node, client, until)


def _with_channels(facts: Facts, asked: Asked, node: LndNode) -> Facts:
    channels = len(node.channels_with(asked.pubkey, seconds=_NODE_SECONDS))
    # A dry run beside a channel that is being opened would take the place that it needs.
    age = 0.0 if settings.PREFLIGHT_DRY_RUN else None
    pending = shared.opening_with(asked.pubkey, node, seconds=_NODE_SECONDS, no_older_than=age)
    return replace(facts, channels=channels, pending=pending)


def _peer(asked: Asked, node: LndNode, *, no_older_than: float | None = None) -> Peer | None:
    return shared.peer(asked.pubkey, node, seconds=_NODE_SECONDS, no_older_than=no_older_than)


def _peer_by_now(asked: Asked, node: LndNode, asked_at: float) -> Peer | None:
    """The peer, by a list that was begun since the buyer asked: it may have connected since others were told.

    Strangers make us ask for the long list no more often than that, and one of them is waited for: where another is,
    the list may be as old as the pause.
    """
    if not _listing.acquire(blocking=False):
        return _peer(asked, node, no_older_than=_PAUSE_SECONDS)
    try:
        age = shared.age_of_peers_seconds(node)
        if age > monotonic() - asked_at:
            sleep(max(0.0, _PAUSE_SECONDS - age))
        return _peer(asked, node, no_older_than=monotonic() - asked_at)
    finally:
        _listing.release()


def _reached(facts: Facts, asked: Asked, node: LndNode, client: str, until: float) -> tuple[Facts, Peer | None]:
    """The peer is connected where it answers in time; else whether it was dialled at all.

    One that we share a channel with our node reaches by itself: a buyer's word must not send it elsewhere.
    """
    if not asked.host or facts.channels or facts.pending or not _may_dial(asked, client):
        return facts, _peer_by_now(asked, node, until - PATIENCE_SECONDS)
    if not _waiting.acquire(blocking=False):
        return facts, None
    try:
        ended, age = _dialled(asked, node, until), 0.0  # what was listed before the dial ended says nothing of it
        while (peer := _peer(asked, node, no_older_than=age)) is None and not ended and monotonic() < until:
            age = _PAUSE_SECONDS
            sleep(age)
    finally:
        _waiting.release()
    return replace(facts, dialled=True), peer


def _dialled(asked: Asked, node: LndNode, until: float) -> bool:
    """Whether the dial has ended without a connection. Raises: LightningError (our own node)."""
    try:
        host = _result(dialling.begin(asked.host, most=dialling.MOST_LOOKUPS // 4), until)
        address = NodeAddress(asked.pubkey, host)
        _result(node.begin_dialling(address, timeout_seconds=max(1, round(PATIENCE_SECONDS))), until)
    except TimeoutError:
        return True
    except LightningError:  # any text of a dialler: what counts is whether the peer is there
        return True
    return False


def _result(waited_for: Future[Any], until: float) -> Any:
    return waited_for.result(max(0.0, until - monotonic()))


def _may_dial(asked: Asked, client: str) -> bool:
    """Each is asked only where the one before allows it: who is bounded uses up nothing of the others'."""
    together = 1 if client else _TOGETHER
    return (
        limits.wait_seconds(f"preflight:{client}", DIALS_OF_CLIENT, times=together) is None
        and limits.wait_seconds(f"preflight-peer:{asked.pubkey}", DIALS_OF_PEER) is None
        and limits.wait_seconds("preflight", DIALS) is None
    )


def _with_dry_run(facts: Facts, asked: Asked, node: LndNode, client: str, until: float) -> Facts:
    """With what the peer has answered within the last hour, or answers now; unchanged where it was not asked."""
    wanted = dry_runs.Wanted(asked.pubkey, asked.capacity_sat, asked.client_balance_sat, asked.announced)
    if not _waiting.acquire(blocking=False):
        return facts
    try:
        ran = dry_runs.run(wanted, node, client=client, seconds=max(0.5, until - monotonic()))
    finally:
        _waiting.release()
    if ran is None:
        return facts
    least_sat, most_sat = told_limits(ran.detail)
    answer = Past(
        ran.reason, asked.announced, asked.capacity_sat, asked.client_balance_sat, least_sat, most_sat, is_fresh=True
    )
    return replace(facts, past=(answer, *facts.past))
