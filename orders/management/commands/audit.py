"""`manage.py audit`: who did or saw what."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet

from orders.ids import short
from orders.management.commands.retry_give_up import moment
from orders.models import AuditEntry, AuditKind
from orders.story import when


class Command(BaseCommand):
    """The oldest first, as a log is."""

    help = "Lists who did or saw what: logins, deeds, exports, settings with before and after. Changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", type=moment, metavar="TIME", help="ISO (UTC), or 30m, 6h, 2d, 1w ago")
        parser.add_argument("--person", metavar="NAME", help="what one account did")
        parser.add_argument("--kind", metavar="KIND", help=f"one of {', '.join(AuditKind)}")
        parser.add_argument("--json", action="store_true", help="for machines: a line for each")

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        found = _asked(**{name: options[name] for name in ("since", "person", "kind")})
        for entry in found.iterator(1000):
            self.stdout.write(_as_json(entry) if json else _line(entry))
        if not json and not found.exists():
            self.stdout.write("There is no such line.")


def _asked(since: datetime | None, person: str | None, kind: str | None) -> QuerySet[AuditEntry]:
    """Raises: CommandError."""
    if kind is not None and kind not in AuditKind.values:
        raise CommandError(f"--kind must be one of {', '.join(AuditKind)}.", returncode=2)
    found = AuditEntry.objects.order_by("pk")
    asked: Iterable[tuple[str, Any]] = (("at__gte", since), ("person", person), ("kind", kind))
    return found.filter(**{name: value for name, value in asked if value is not None})


def _line(entry: AuditEntry) -> str:
    order = f"  order {short(entry.order_id)}" if entry.order_id else ""
    return f"{when(entry.at)}  {entry.actor or 'nobody known'}  {entry.get_kind_display()}: {entry.words}{order}"


def _as_json(entry: AuditEntry) -> str:
    return json.dumps(
        {
            "number": entry.pk,
            "at": entry.at.isoformat(),
            "kind": entry.kind,
            "person": entry.person,
            "actor": entry.actor,
            "order": short(entry.order_id) if entry.order_id else None,
            "words": entry.words,
            "facts": entry.facts,
        }
    )
