"""The trail of who did or saw what: written with the deed, in its transaction where it has one, and never changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from orders.actors import Authority, Kind
from orders.ids import shortened
from orders.models import AuditEntry, AuditKind

#: Whose deeds are told here. What buyers, nodes and the server itself do is in the journal.
PEOPLE: Final = frozenset({Kind.STAFF, Kind.COMMAND})
_LONGEST_WORDS: Final = 300


def add(
    kind: AuditKind,
    words: str,
    *,
    actor: Authority | None,
    order_id: UUID | None = None,
    facts: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """There is one more line. `actor` is None where nobody is known, as with a wrong password.

    No order's whole id is in the words, whoever wrote them, and no secret belongs into the facts.
    Repeat: not safe, each call is a line.
    """
    line = _line(kind, words, actor=actor, order_id=order_id, facts=facts)
    line.save()
    return line


def _line(
    kind: AuditKind, words: str, *, actor: Authority | None, order_id: UUID | None, facts: Mapping[str, Any] | None
) -> AuditEntry:
    return AuditEntry(
        at=timezone.now(),
        kind=kind,
        person=_person(actor),
        actor=str(actor) if actor else "",
        order_id=order_id,
        words=shortened(words)[:_LONGEST_WORDS],
        facts=json.loads(shortened(json.dumps(dict(facts or {}), default=str))),
    )


def deed(actor: Authority, words: str, order_id: UUID, facts: Mapping[str, Any]) -> None:
    """There is one more line, if it was a person."""
    if actor.kind in PEOPLE:
        add(AuditKind.DEED, words, actor=actor, order_id=order_id, facts=facts)


def saw(words: str, order_ids: Iterable[UUID], *, actor: Authority) -> None:
    """There is a line for each of the orders of which something discreet was shown."""
    AuditEntry.objects.bulk_create(
        _line(AuditKind.SEEN, words, actor=actor, order_id=order_id, facts=None) for order_id in order_ids
    )


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What is not as it was: each name with what it was, and what it is."""
    names = [*before, *(name for name in after if name not in before)]
    return {name: [before.get(name), after.get(name)] for name in names if before.get(name) != after.get(name)}


def _person(actor: Authority | None) -> str:
    if actor is None:
        return ""
    return actor.name[:150] if actor.kind is Kind.STAFF else str(actor)[:150]
