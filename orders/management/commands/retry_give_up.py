"""`manage.py retry_give_up`: orders that we gave up are tried again while their payment is still secured."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Exists, F, OuterRef
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from orders import actors, queries, searching
from orders.errors import NotPossible, OrderError
from orders.models import ChannelOrder, OrderEvent
from orders.operations import giving_up
from orders.states import OrderState

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Command(BaseCommand):
    """Tells of every order what became of it, and of those that cannot be retried why."""

    help = "Retries orders that we gave up, as long as their payment is still secured."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "--order", action="append", metavar="ID", help="this order (or the beginning of its id); may be repeated"
        )
        which.add_argument("--all", action="store_true", help="every order that is given up")
        parser.add_argument(
            "--since",
            type=moment,
            metavar="WHEN",
            help="with --all: only those given up since then; an ISO date or time (UTC), or 30m, 6h, 2d, 1w ago",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument("--json", action="store_true", help="for machines: an object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        named, since = options["order"], options["since"]
        self._as_json: bool = options["json"]
        if named and since is not None:
            raise CommandError("--since goes with --all.", returncode=2)
        if named:
            retried, refused = self._try_named(named, options["dry_run"])
        else:
            results = [self._try(order_id, options["dry_run"]) for order_id in given_up(since)]
            retried, refused = results.count(True), results.count(False)
        verb = "would be retried" if options["dry_run"] else "retried"
        summary = f"{retried} {verb}, {refused} not."
        if named and refused:
            raise CommandError(summary)
        if not self._as_json:
            self.stdout.write(summary)

    def _try_named(self, named: list[str], dry_run: bool) -> tuple[int, int]:
        retried = refused = 0
        for name in dict.fromkeys(named):
            try:
                done = self._try(searching.one(name), dry_run)
            except OrderError as error:
                self._say(name, f"not retried: {error.message}")
                done = False
            retried, refused = retried + done, refused + (not done)
        return retried, refused

    def _try(self, order_id: UUID, dry_run: bool) -> bool:
        """Whether the order was retried, or would be."""
        try:
            if dry_run:
                refuse_unless_possible(order_id)
            else:
                giving_up.retry(order_id, actor=actors.command(os_user()))
        except OrderError as error:
            self._say(str(order_id), f"not retried: {error.message}")
            return False
        self._say(str(order_id), "would be retried" if dry_run else "retried")
        return True

    def _say(self, name: str, what: str) -> None:
        said = json.dumps({"order": name, "outcome": what}) if self._as_json else f"{name:<36}  {what}"
        self.stdout.write(said)


def given_up(since: datetime | None) -> list[UUID]:
    """The orders that are given up (since then), the longest waiting first."""
    orders = ChannelOrder.objects.filter(state=OrderState.GIVE_UP)
    if since is not None:
        moves = OrderEvent.objects.filter(order=OuterRef("pk"), to_state=OrderState.GIVE_UP, at__gte=since)
        orders = orders.filter(Exists(moves.exclude(from_state=F("to_state"))))
    return list(orders.order_by("give_up_until", "created_at").values_list("pk", flat=True))


def refuse_unless_possible(order_id: UUID) -> None:
    """By our own records `giving_up.retry` would succeed now. Raises: OrderNotFound, NotPossible with the reason."""
    why = giving_up.why_not_retried(queries.order_or_raise(order_id))
    if why:
        raise NotPossible(why)


def moment(text: str) -> datetime:
    """The time that `text` means: ISO in UTC where it does not say otherwise, or so long ago.

    Raises: argparse.ArgumentTypeError.
    """
    ago = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip().lower())
    if ago:
        return timezone.now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        at = parse_datetime(text)
        day = parse_date(text) if at is None else None
    except ValueError:
        at = day = None
    if at is None and day is not None:
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if at is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither an ISO date or time nor like 30m, 6h, 2d or 1w")
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def os_user() -> str:
    """Who runs this process."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user without an entry, as in containers
        return str(os.getuid())
