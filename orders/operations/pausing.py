"""Staff stop the sales, or the beginning of openings, and let them go on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from orders import queries
from orders.actors import Authority, Kind, open_to
from orders.causes import PauseCause
from orders.errors import InvalidField
from orders.models import ChannelOrder, Switch, SwitchEvent, SwitchName
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
    """It is off: nothing is sold any more, or no attempt to open begins any more.

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
    paused = queries.paused(SwitchName.OPENINGS)
    return paused is not None and paused.cause == PauseCause.BEHIND


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
        SwitchEvent.objects.create(
            name=name, on=on, cause=cause, reason=reason, named=list(named), at=now, actor=str(actor)
        )
        if on and name == SwitchName.OPENINGS:
            nudge_all(_waiting())
    if actor.kind is not Kind.COMMAND:  # which says it at its terminal, where the log would go too
        log.warning("switch=%s on=%s actor=%s reason=%s", name, on, actor, reason)
    return switch


def _waiting() -> list:
    orders = ChannelOrder.objects.filter(state=OrderState.URI_SET, last_failure_reason=OPENINGS_PAUSED)
    return list(orders.values_list("pk", flat=True))
