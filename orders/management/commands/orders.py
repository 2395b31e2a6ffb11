"""`manage.py orders`: the list of orders, filtered as in the admin."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from orders import filtering, story
from orders.filtering import FILTERS
from orders.management.commands.retry_give_up import moment
from orders.management.for_machines import facts
from orders.management.taken_away import note_export
from orders.models import ChannelOpening, ChannelOrder, Flag

#: So many are read from the database, and written, at a time.
_AT_ONCE: Final = 500
_OF_NO_FIXED_CHOICES: Final = "service"
_ASKED: Final = (*FILTERS, "since", "until", "search", "limit")


class Command(BaseCommand):
    """The newest first. Nothing is kept in memory but the part that is being written."""

    help = "Lists orders, by the filters that the admin's list has; with --json an object a line."

    def add_arguments(self, parser: CommandParser) -> None:
        for name, each in FILTERS.items():
            if name == _OF_NO_FIXED_CHOICES:
                continue
            values = [value for value, _ in each.choices()]
            parser.add_argument(f"--{name}", choices=values, metavar=name.upper(), help=f"{each.title}: {_or(values)}")
        parser.add_argument("--service", metavar="NAME", help="its description, or the beginning of its id")
        parser.add_argument(
            "--from",
            dest="since",
            type=moment,
            metavar="WHEN",
            help="quoted since then: a day or time (UTC), or 6h, 2d ago",
        )
        parser.add_argument("--to", dest="until", type=moment, metavar="WHEN", help="quoted before then")
        parser.add_argument(
            "--search", default="", metavar="TEXT", help="what `manage.py order` takes, and more than one may match"
        )
        parser.add_argument("--limit", type=int, metavar="N", help="no more than so many")
        parser.add_argument("--json", action="store_true", help="for machines: an object a line")

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        orders = chosen(options)
        if json:
            note_export("orders --json", **{name: options[name] for name in _ASKED})
        try:
            for line in _as_lines(orders) if json else _as_table(orders):
                self.stdout.write(line)
            self.stdout.flush()
        except BrokenPipeError:  # whoever reads has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _or(values: list[str]) -> str:
    return ", ".join(values)


def chosen(options: dict[str, Any]) -> QuerySet[ChannelOrder]:
    """The orders that are meant. Raises: CommandError."""
    answers = {name: options[name] for name in FILTERS if options[name] and name != _OF_NO_FIXED_CHOICES}
    since, until, limit = options["since"], options["until"], options["limit"]
    if limit is not None and limit < 1:
        raise CommandError("--limit must be 1 or more.", returncode=2)
    try:
        if options["service"]:
            answers["service"] = filtering.named_service(options["service"])
    except ValueError as error:
        raise CommandError(f"{error}.") from error
    condition = filtering.filtered(answers, timezone.now(), since=since, until=until, search=options["search"])
    orders = (
        ChannelOrder.objects.filter(condition)
        .select_related("service")
        .prefetch_related(
            Prefetch("flags", Flag.objects.filter(lowered_at=None)),
            Prefetch("openings", ChannelOpening.objects.select_related("transaction")),
        )
    )
    return orders[:limit] if limit else orders


_TABLE: Final = "{:<36}  {:<9}  {:<16}  {:>13}  {:>11}  {:<9}  {:<11}  {:<14}  {}"


def _as_table(orders: QuerySet[ChannelOrder]) -> Iterator[str]:
    yield _TABLE.format(
        "order", "state", "quoted (UTC)", "channel (sat)", "total (sat)", "paid by", "door", "node", "notable"
    )
    count = total_sat = 0
    for order in orders.iterator(chunk_size=_AT_ONCE):
        count, total_sat = count + 1, total_sat + order.capacity_sat
        yield _row(order).rstrip()
    yield f"{count:,} {'order' if count == 1 else 'orders'}, channels of {total_sat:,} sat"


def _row(order: ChannelOrder) -> str:
    return _TABLE.format(
        str(order.pk),
        order.get_state_display(),
        f"{order.created_at.astimezone(UTC):%Y-%m-%d %H:%M}",
        f"{order.capacity_sat:,}",
        f"{order.order_total_sat:,}",
        order.get_counted_payment_display() or "–",
        order.door,
        f"{order.node_pubkey[:12]}…" if order.node_pubkey else "–",
        ", ".join(story.surprises(order)),
    )


def _as_lines(orders: QuerySet[ChannelOrder]) -> Iterator[str]:
    for order in orders.iterator(chunk_size=_AT_ONCE):
        yield json.dumps(facts(order))
