"""Staff stop the sales, or the beginning of openings or of closes, and let them go on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from orders import queries, trail
from orders.actors import Authority, Kind, open_to
from orders.causes import PauseCause
from orders.errors import InvalidField
from orders.models import AuditKind, ChannelOrder, Switch, SwitchEvent, SwitchName
from orders.nudges import nudge_all
from orders.openings.reasons import OPENINGS_PAUSED
from orders.states import OrderState

log = logging.getLogger(__name__)

_LONGEST_REASON = 200


@open_to(Kind.STAFF, Kind.COMMAND, Kind.SERVER)
def pause(
    name: SwitchName,
    *,
    reason: str,
    actor: Authority,
    cause: PauseCause = PauseCause.STAFF,
    named: Sequence[str] = (),
) -> Switch:
    """It is off: nothing is sold any more, or no attempt to open begins any more, or no close.

    Money: none moves. What was begun goes on, and every deadline holds: a payment whose order cannot be opened in time
    goes back as it always does.
    `named`: what the node has, where our records are behind it.
    Repeat: safe; another reason takes the place of the first, and both are on record.
    Raises: InvalidField (no reason, or too long a one).
    """
    reason = " ".join(reason.split())
    if not reason or len(reason) > _LONGEST_REASON:
        raise InvalidField(f"A reason of 1 to {_LONGEST_REASON} characters is required.", field="reason")
    return _switch(name, on=False, reason=reason, actor=actor, cause=cause, named=named)


@open_to(Kind.STAFF, Kind.COMMAND)
def resume(name: SwitchName, *, actor: Authority) -> Switch:
    """It is on again, and the orders that waited for it are due.

    Repeat: safe.
    """
    return _switch(name, on=True, reason="", actor=actor)


def is_behind() -> bool:
    """The node has more of our orders than our records, and nobody has seen to it yet."""
    return _is_told_of(SwitchName.OPENINGS)


def _is_told_of(name: SwitchName) -> bool:
    """By the record, not by the switch: staff may have put it off before, or have given it another reason since."""
    last = SwitchEvent.objects.filter(Q(cause=PauseCause.BEHIND) | Q(on=True), name=name).order_by("pk").last()
    return last is not None and not last.on


@open_to(Kind.SERVER)
def pause_behind(name: SwitchName, *, reason: str, named: Sequence[str], actor: Authority) -> None:
    """It is off since our records are behind the node's; where staff have put it off already, that is on record beside.

    `named`: what the node has, and our records have not. Repeat: safe.
    """
    paused = queries.paused(name)
    if paused is None or paused.cause == PauseCause.BEHIND:
        pause(name, reason=reason, actor=actor, cause=PauseCause.BEHIND, named=named)
    else:
        _record(name, on=False, reason=reason, actor=actor, cause=PauseCause.BEHIND, named=named)


@open_to(Kind.COMMAND)
def resume_behind(name: SwitchName, *, actor: Authority) -> bool:
    """Our records are behind the node's no more; False where staff have put it off besides, and it stays so."""
    paused = queries.paused(name)
    if paused is not None and paused.cause == PauseCause.BEHIND:
        resume(name, actor=actor)
    elif paused is not None and _is_told_of(name):
        _record(name, on=True, reason="", actor=actor, cause=PauseCause.BEHIND)
    return paused is None or paused.cause == PauseCause.BEHIND


def _switch(
    name: SwitchName,
    *,
    on: bool,
    reason: str,
    actor: Authority,
    cause: PauseCause = PauseCause.STAFF,
    named: Sequence[str] = (),
) -> Switch:
    now = timezone.now()
    with transaction.atomic(durable=True):
        Switch.objects.get_or_create(pk=name, defaults={"on": True, "at": now, "actor": str(actor)})
        switch = Switch.objects.select_for_update().get(pk=name)
        if (switch.on, switch.reason, switch.cause) == (on, reason, cause):
            return switch
        switch.on, switch.reason, switch.cause, switch.at, switch.actor = on, reason, cause, now, str(actor)
        switch.save()
        _record(name, on=on, reason=reason, actor=actor, cause=cause, named=named)
        if on:
            nudge_all(_waiting_for(name))
    if actor.kind is not Kind.COMMAND:  # which says it at its terminal, where the log would go too
        log.warning("switch=%s on=%s actor=%s reason=%s", name, on, actor, reason)
    return switch


def _record(
    name: SwitchName, *, on: bool, reason: str, actor: Authority, cause: PauseCause, named: Sequence[str] = ()
) -> None:
    SwitchEvent.objects.create(
        name=name, on=on, cause=cause, reason=reason, named=list(named), at=timezone.now(), actor=str(actor)
    )
    if actor.kind in trail.PEOPLE:
        words = f"{name} resumed" if on else f"{name} paused: {reason}"
        trail.add(AuditKind.SWITCH, words, actor=actor)


def _waiting_for(name: SwitchName) -> list:
    """The orders that this switch has kept."""
    if name == SwitchName.CLOSINGS:
        return queries.closings_that_wait()
    if name != SwitchName.OPENINGS:
        return []
    orders = ChannelOrder.objects.filter(state=OrderState.URI_SET, last_failure_reason=OPENINGS_PAUSED)
    return list(orders.values_list("pk", flat=True))
