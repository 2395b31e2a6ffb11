"""`manage.py refund`: where money of an order goes back to on chain, or that it is kept; and what goes back at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders import actors, keys, searching
from orders.actors import Authority
from orders.errors import OrderError
from orders.ids import short
from orders.management.commands.retry_give_up import os_user
from orders.management.taken_away import note_export
from orders.models import Refund
from orders.operations import deciding, refunding
from orders.states import RefundState
from orders.story import sat, when


class Command(BaseCommand):
    """The operations of the admin's buttons, by name of who runs it. The worker sends; this does not."""

    help = "Lists refunds, says where one goes, keeps or releases it, or decides about what is proposed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ORDER", nargs="?", help="the order, as `manage.py order` takes it")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument(
            "--list", action="store_true", help="lists refunds, the newest first: of all orders, or of ORDER"
        )
        what.add_argument("--to", metavar="ADDRESS", help="it goes there; this can be changed until it is signed")
        what.add_argument("--keep", metavar="REASON", help="it stays in our wallet, as the buyer's, for this reason")
        what.add_argument("--release", action="store_true", help="what was kept goes back after all")
        what.add_argument("--grant", action="store_true", help="what was proposed goes back")
        what.add_argument("--decline", metavar="REASON", help="what was proposed does not go back, for this reason")
        parser.add_argument("--state", choices=RefundState.values, help="with --list: only those")
        parser.add_argument("--json", action="store_true", help="for machines; a list has an object a line")

    def handle(self, *args: Any, id: str | None, **options: Any) -> None:
        if options["state"] and not options["list"]:
            raise CommandError("--state goes with --list.", returncode=2)
        if id is None and not options["list"]:
            raise CommandError("Which order is meant?", returncode=2)
        try:
            order_id = searching.one(id) if id is not None else None
            if order_id is None or options["list"]:
                self._list(order_id, options["state"], as_json=options["json"])
                return
            told = _done(order_id, options, actors.command(os_user()))
        except OrderError as error:
            raise CommandError(error.message) from error
        said = json.dumps({"order": str(order_id), "done": told}) if options["json"] else f"{order_id}  {told}"
        self.stdout.write(said)

    def _list(self, order_id: UUID | None, state: str | None, *, as_json: bool) -> None:
        if as_json:
            note_export("refund --list --json", order=order_id and short(order_id), state=state)
        count = 0
        for refund in refunds(order_id, state):
            count += 1
            self.stdout.write(json.dumps(facts(refund)) if as_json else _line(refund))
        if not as_json and not count:
            self.stdout.write("no refunds")


def refunds(order_id: UUID | None, state: str | None) -> Iterator[Refund]:
    """The newest first; read bit by bit."""
    rows = Refund.objects.select_related("order", "transaction").order_by("-id")
    rows = rows.filter(order=order_id) if order_id is not None else rows
    return (rows.filter(state=state) if state else rows).iterator(chunk_size=500)


def facts(refund: Refund) -> dict[str, Any]:
    """One refund for machines."""
    return {
        "order": str(refund.order_id),
        "reference": keys.reference(refund.order_id),
        "state": refund.state,
        "amount_sat": refund.amount_sat,
        "fee_sat": refund.fee_sat if refund.transaction else None,
        "address": refund.address or refund.order.refund_address or None,
        "txid": refund.transaction.txid if refund.transaction else None,
        "cause": refund.cause,
        "detail": refund.detail or None,
        "created_at": refund.created_at.isoformat(),
        "refunded_at": _iso(refund.refunded_at),
    }


def _line(refund: Refund) -> str:
    sent = f", {refund.transaction.txid}" if refund.transaction else ""
    to = refund.address or refund.order.refund_address or "no address is known"
    why = refund.cause.replace("_", " ")
    named = f"{refund.order_id}  {refund.state:<9}  {sat(refund.amount_sat):>16}  {when(refund.created_at)}"
    return f"{named}  {why}  {to}{sent}"


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


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
