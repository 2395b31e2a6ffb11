"""Staff list whom we do not serve, and lift that again."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from orders import barring, trail
from orders.actors import LSP, Authority, Kind, open_to
from orders.barring import Asked, BanKind, Listed
from orders.errors import InvalidField, NotPossible
from orders.models import AuditKind, Ban, ChannelOrder
from orders.nudges import nudge_all
from orders.operations.refunding import read_reason
from orders.states import CLAIMABLE

log = logging.getLogger(__name__)

VALUE: Final = "value"
UNTIL: Final = "until"


@open_to(Kind.STAFF, Kind.COMMAND)
def add(kind: BanKind, value: str, *, reason: str, actor: Authority, until: datetime | None = None) -> Ban:
    """It is listed: nobody is served with it from now on, and orders that wait with it are looked at.

    Money: of those orders goes back; never of one whose funding is past the point of no return.
    Raises: InvalidField (no value or reason of that kind, or an end that is over), NotPossible (it is listed already).
    """
    value, reason, now = read_value(kind, value), read_reason(reason), timezone.now()
    if until is not None and until <= now:
        raise InvalidField("The end must be in the future.", field=UNTIL)
    try:
        ban = _written(kind, value, reason=reason, until=until, now=now, actor=actor)
    except IntegrityError:  # somebody lists the same at this moment
        raise NotPossible("This is listed already.") from None
    log.warning("ban=%s added by %s: %s %s", ban.pk, actor, kind, value)
    return ban


def _written(kind: BanKind, value: str, *, reason: str, until: datetime | None, now: datetime, actor: Authority) -> Ban:
    """The row, where none stands. Raises: NotPossible; IntegrityError where another's is committed meanwhile."""
    with transaction.atomic():
        before = Ban.objects.select_for_update().filter(kind=kind, value=value, lifted_at=None).first()
        if before is not None and (before.until is None or before.until > now):
            raise NotPossible("This is listed already.")
        if before is not None:  # it has ended by itself
            _lift(before, now, LSP)
        ban = Ban.objects.create(
            kind=kind, value=value, reason=reason, created_at=now, created_by=str(actor), until=until
        )
        nudge_all(_waiting_with(Listed(kind, value)))
        facts = {"number": ban.pk, "until": until.isoformat() if until else None}
        trail.add(AuditKind.BAN, f"{kind} {value} added: {reason}", actor=actor, facts=facts)
    return ban


def read_value(kind: BanKind, text: str) -> str:
    """What was typed, as it is compared. Raises: InvalidField."""
    try:
        return barring.read(kind, text, settings.LND_NETWORK)
    except ValueError as error:
        raise InvalidField(str(error), field=VALUE) from None


def _waiting_with(line: Listed) -> list[UUID]:
    """Paid orders that it concerns: each one's own look does what follows."""
    return [order.pk for order in waiting_with(line.kind, line.value)]


def waiting_with(kind: str, value: str) -> list[ChannelOrder]:
    """The paid orders that a line of the list would concern, with what came for them."""
    orders = ChannelOrder.objects.filter(state__in=CLAIMABLE).select_related("hold_invoice", "lsp_node")
    line = Listed(kind, value)
    found = orders.prefetch_related("onchain_payments", "openings")
    return [order for order in found if barring.objection(_asked_with(order), [line]) is not None]


def _asked_with(order: ChannelOrder) -> Asked:
    payers = {script for row in order.onchain_payments.all() for script in row.payers or ()}
    return Asked(order.node_pubkey, order.node_host, order.refund_address, payers)


@open_to(Kind.STAFF, Kind.COMMAND)
def lift(ban_id: int, *, actor: Authority) -> Ban:
    """It is listed no more. What was turned away for it stays so. Repeat: safe.

    Raises: NotPossible (there is no such line).
    """
    with transaction.atomic():
        ban = Ban.objects.select_for_update().filter(pk=ban_id).first()
        if ban is None:
            raise NotPossible("There is no such line on the list.")
        if ban.lifted_at is None:
            _lift(ban, timezone.now(), actor)
            trail.add(AuditKind.BAN, f"{ban.kind} {ban.value} lifted", actor=actor, facts={"number": ban.pk})
    log.warning("ban=%s lifted by %s: %s %s", ban.pk, actor, ban.kind, ban.value)
    return ban


def _lift(ban: Ban, now: datetime, actor: Authority) -> None:
    ban.lifted_at, ban.lifted_by = now, str(actor)
    ban.save(update_fields=["lifted_at", "lifted_by"])


def is_standing(ban: Ban) -> bool:
    """It was not lifted, and has not ended."""
    return ban.lifted_at is None and (ban.until is None or ban.until > timezone.now())
