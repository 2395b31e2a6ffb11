"""`manage.py recover`: after a restored or failed-over database, what the node knows and we don't."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from lightning import connection as lightning
from lightning.errors import LightningError
from lightning.node import LndNode
from orders import actors, keys, queries, recovering
from orders.management.commands.retry_give_up import os_user
from orders.models import SwitchName
from orders.recovering import Kind, Unknown
from orders.story import sat


class Command(BaseCommand):
    """Adopts what carries the id of an order we know, and says what is left for a person."""

    help = "Lists channels, fundings, deposits and held payments without an order, and adopts what it can."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only list; adopt nothing, change nothing")
        parser.add_argument(
            "--return-payments",
            action="store_true",
            help="cancel held payments and open invoices of unknown orders that left no channel and no funding",
        )
        parser.add_argument(
            "--settle-payments",
            action="store_true",
            help="take held payments of unknown orders whose channel is open at the node",
        )
        parser.add_argument("--resume", action="store_true", help="sales and openings go on, if nothing is left")

    def handle(self, *args: Any, dry_run: bool, resume: bool, **options: Any) -> None:
        try:
            node = lightning.node()
            found = recovering.survey(node)
            if not dry_run:
                self._mend(node, found, options)
                found = recovering.survey(node)
            self._list(found, resume=resume and not dry_run)
        except LightningError as error:
            raise CommandError(f"The node cannot be read: {error}") from error

    def _mend(self, node: LndNode, found: list[Unknown], options: dict[str, Any]) -> None:
        actor = actors.command(os_user())
        for order_id in sorted(recovering.adopt(found, node, actor=actor), key=str):
            self.stdout.write(f"adopted       order {order_id}")
        if options["settle_payments"]:
            for unknown in recovering.settle_payments(found, node, actor=actor):
                self.stdout.write(f"settled       {unknown.kind} {unknown.what} of order {unknown.order_id}")
        if not options["return_payments"]:
            return
        if queries.paused(SwitchName.SALES) is None:
            raise CommandError("Pause the sales first (`manage.py pause`): a payment could be of a sale just made.")
        for unknown in recovering.return_payments(found, node, actor=actor):
            self.stdout.write(f"returned      {unknown.kind} {unknown.what} of order {unknown.order_id}")

    def _list(self, found: list[Unknown], *, resume: bool) -> None:
        for unknown in found:
            self.stdout.write(told(unknown))
        left = [unknown for unknown in found if not unknown.is_done]
        serious = [unknown for unknown in left if unknown.kind is not Kind.DEPOSIT]
        self.stdout.write(f"left for a person: {len(left)}" if left else "nothing is left to do")
        if serious:
            raise CommandError("Paused as it was: see to the rest, then `manage.py resume`.", returncode=1)
        if resume:
            self._resume()

    def _resume(self) -> None:
        paused = [name for name in SwitchName if queries.paused(name) is not None]
        others = recovering.resume(actor=actors.command(os_user()))
        for name in paused:
            stays = "stay paused, by staff: `manage.py resume` ends that"
            self.stdout.write(f"{name} {stays if name in others else 'go on'}")
        if not paused:
            self.stdout.write("nothing was paused")


def told(unknown: Unknown) -> str:
    """One thing, in a line."""
    order = f" order {unknown.order_id}" if unknown.order_id else ""
    if unknown.order_id and unknown.kind in {Kind.PAYMENT, Kind.INVOICE}:
        order += f" ({keys.reference(unknown.order_id)})"  # as the payer's memo has it
    amount = f" {sat(unknown.amount_sat)}" if unknown.amount_sat else ""
    return f"{unknown.kind:<14}{unknown.what}{order}{amount}\n{'':<14}{unknown.advice}"
