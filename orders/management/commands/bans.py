"""`manage.py bans`: whom we do not serve."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders import actors
from orders.actors import Authority
from orders.barring import BanKind
from orders.errors import OrderError
from orders.management.commands.retry_give_up import os_user
from orders.models import Ban
from orders.operations import banning
from orders.story import when


class Command(BaseCommand):
    """Without an option what stands is listed."""

    help = "Lists whom we do not serve: nodes, node hosts, refund addresses, payers' addresses; adds to it, or lifts."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--add", nargs=2, metavar=("KIND", "VALUE"), help=f"KIND is one of {', '.join(BanKind)}")
        what.add_argument("--lift", type=int, metavar="NUMBER", help="it stands no more")
        parser.add_argument("--reason", metavar="TEXT", help="why it is added: for staff, nobody else is told")
        parser.add_argument("--until", type=_moment, metavar="DATE", help="with --add: it ends by itself (UTC)")
        parser.add_argument("--all", action="store_true", help="also those that do not stand any more")
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["add"]) is not bool(options["reason"]) or (options["until"] and not options["add"]):
            raise CommandError("--add and --reason go together, and --until with them.", returncode=2)
        try:
            rows = _done(options, actors.command(os_user()))
        except OrderError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            self.stdout.write(json.dumps([_facts(ban) for ban in rows], indent=1))
            return
        for ban in rows:
            self.stdout.write(_line(ban))
        if not rows:
            self.stdout.write("nothing is listed: everybody is served")


def _moment(text: str) -> datetime:
    """Raises: argparse.ArgumentTypeError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a date, such as 2030-01-31 or 2030-01-31T12:00") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _done(options: dict[str, Any], actor: Authority) -> list[Ban]:
    """What was done, or what there is. Raises: OrderError, CommandError."""
    if options["add"]:
        kind, value = options["add"]
        if kind not in BanKind.values:
            raise CommandError(f"KIND must be one of {', '.join(BanKind)}.", returncode=2)
        ban = banning.add(BanKind(kind), value, reason=options["reason"], until=options["until"], actor=actor)
        return [ban]
    if options["lift"] is not None:
        return [banning.lift(options["lift"], actor=actor)]
    return [ban for ban in Ban.objects.all() if options["all"] or banning.is_standing(ban)]


def _line(ban: Ban) -> str:
    ends = f", until {when(ban.until)}" if ban.until else ""
    lifted = f"; lifted by {ban.lifted_by}, {when(ban.lifted_at)}" if ban.lifted_at else ""
    return (
        f"{ban.pk:>5}  {ban.kind:<15}{ban.value}  {ban.reason} ({ban.created_by}, {when(ban.created_at)}{ends}{lifted})"
    )


def _facts(ban: Ban) -> dict[str, Any]:
    return {
        "number": ban.pk,
        "kind": ban.kind,
        "value": ban.value,
        "reason": ban.reason,
        "stands": banning.is_standing(ban),
        "created_at": _iso(ban.created_at),
        "created_by": ban.created_by,
        "until": _iso(ban.until),
        "lifted_at": _iso(ban.lifted_at),
        "lifted_by": ban.lifted_by,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
