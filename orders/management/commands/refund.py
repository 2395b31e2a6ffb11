"""`manage.py refund`: where money of an order goes back to on chain, or that it is kept."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders import actors, searching
from orders.actors import Authority
from orders.errors import OrderError
from orders.management.commands.retry_give_up import os_user
from orders.operations import deciding, refunding


class Command(BaseCommand):
    """The operations of the admin's buttons, by name of who runs it. The worker sends; this does not."""

    help = "Says where money of an order goes back to, keeps or releases it, or decides about what is proposed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ORDER", help="the order, as `manage.py order` takes it")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--to", metavar="ADDRESS", help="it goes there; this can be changed until it is signed")
        what.add_argument("--keep", metavar="REASON", help="it stays in our wallet, as the buyer's, for this reason")
        what.add_argument("--release", action="store_true", help="what was kept goes back after all")
        what.add_argument("--grant", action="store_true", help="what was proposed goes back")
        what.add_argument("--decline", metavar="REASON", help="what was proposed does not go back, for this reason")

    def handle(self, *args: Any, id: str, **options: Any) -> None:
        try:
            order_id = searching.one(id)
            told = _done(order_id, options, actors.command(os_user()))
        except OrderError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{order_id}  {told}")


def _done(order_id: UUID, options: dict[str, Any], actor: Authority) -> str:
    """What was done, in words. Raises: OrderError."""
    if options["to"] is not None:
        order = refunding.say_refund_address(order_id, options["to"], actor=actor)
        return f"what goes back goes to {order.refund_address}, less what sending it costs"
    if options["keep"] is not None:
        refunding.keep(order_id, reason=options["keep"], actor=actor)
        return "kept: nothing goes back until it is released"
    if options["decline"] is not None:
        deciding.decline(order_id, reason=options["decline"], actor=actor)
        return "declined: what was proposed does not go back"
    done, operation = ("granted", deciding.grant) if options["grant"] else ("released", refunding.release)
    order = operation(order_id, actor=actor)
    where = f"to {order.refund_address}" if order.refund_address else "as soon as an address is known"
    return f"{done}: it goes back {where}"
