"""`manage.py close_expired`: channels whose lease is over are to be closed, where their service says so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Prefetch

from orders import actors
from orders.management.commands.retry_give_up import os_user
from orders.models import ChannelOpening, ChannelOrder
from orders.operations import closing, expiring
from orders.operations.expiring import Expired
from orders.states import OrderState

_TABLE: Final = "{:<36}  {:<20}  {:<16}  {:>11}  {}"


class Command(BaseCommand):
    """As the worker does every hour; or a look at what it would do, or at every channel of ours."""

    help = "Closes channels whose lease is over, where their service says so; tells of each what becomes of it."

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--dry-run", action="store_true", help="nothing is closed: what would be is told")
        how.add_argument("--list", action="store_true", help="every open channel that was sold, with lease and promise")
        parser.add_argument("--json", action="store_true", help="for machines: an object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        told = _sold() if options["list"] else _expired(only_look=options["dry_run"])
        lines = map(json.dumps, told) if options["json"] else _as_table(told, "promise" if options["list"] else "then")
        for line in lines:
            self.stdout.write(line)


def _as_table(told: Iterable[dict[str, Any]], last: str) -> Iterator[str]:
    """With the names of its columns, where there is anything."""
    count = 0
    for count, facts in enumerate(told, 1):
        if count == 1:
            yield _TABLE.format("order", "channel", "lease ends (UTC)", "block", last)
        yield _line(facts)
    if not count:
        yield "no channel is open" if last == "promise" else "no lease is over"


def _expired(*, only_look: bool) -> Iterator[dict[str, Any]]:
    found = expiring.close_expired(actor=actors.command(os_user()), only_look=only_look)
    verb = "would be closed" if only_look else "to be closed"
    return ({**_facts(each.order), "then": _then(each, verb), "why_not": each.why_not} for each in found)


def _then(each: Expired, verb: str) -> str:
    return "left open" if each.why_not else verb


def _sold() -> Iterator[dict[str, Any]]:
    openings = Prefetch("openings", ChannelOpening.objects.select_related("transaction"))
    orders = ChannelOrder.objects.filter(state=OrderState.OPEN).prefetch_related(openings)
    return (_facts(order) for order in orders.order_by("lease_ends_at", "pk").iterator(chunk_size=500))


def _facts(order: ChannelOrder) -> dict[str, Any]:
    channel = closing.channel_of(order)
    return {
        "order": str(order.pk),
        "channel": channel.short_channel_id if channel else "",
        "outpoint": channel.funding_outpoint if channel else "",
        "node": order.node_pubkey,
        "lease_ends_at": order.lease_ends_at.isoformat() if order.lease_ends_at else None,
        "lease_ends_height": order.lease_ends_height,
        "most_routing_base_msat": order.most_routing_base_msat,
        "most_routing_ppm": order.most_routing_ppm,
    }


def _line(facts: dict[str, Any]) -> str:
    then = facts["then"] if "then" in facts else _promise(facts)
    why_not = f": {facts['why_not']}" if facts.get("why_not") else ""
    ends, height = facts["lease_ends_at"], facts["lease_ends_height"]
    return _TABLE.format(
        facts["order"],
        facts["channel"] or facts["outpoint"],
        ends[:16].replace("T", " ") if ends else "–",
        f"{height:,}" if height else "–",
        f"{then}{why_not}",
    )


def _promise(facts: dict[str, Any]) -> str:
    if facts["most_routing_base_msat"] is None:
        return "no promise"
    return f"{facts['most_routing_base_msat']} msat + {facts['most_routing_ppm']} ppm"
