"""`manage.py order ID`: an order's whole story in the terminal."""

from __future__ import annotations

import json as jsons
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from orders import actors, keys, queries, searching, story
from orders.errors import OrderError
from orders.management.commands.retry_give_up import os_user
from orders.management.for_machines import whole
from orders.management.taken_away import note_seen
from orders.models import ChannelOpening, ChannelOrder, Flag, OrderEvent, Refund
from orders.operations import noting
from orders.states import OrderState
from orders.story import sat, when
from orders.windows import usable_until

Row = tuple[str, str]

_WIDTH = 22


class Command(BaseCommand):
    """Everything that we know of one order, oldest last word at the end: the journal."""

    help = "Prints an order's whole story: facts, price, payments, attempts and journal."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "id",
            help="its id or its beginning; its invoice's memo; a payment hash, an address, a txid, a node's key",
        )

        parser.add_argument("--note", metavar="TEXT", help="adds a note for staff to its journal; nobody changes it")

        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, id: str, note: str | None, json: bool, **options: Any) -> None:
        try:
            order_id = searching.one(id)
            if note is not None:
                noting.write(order_id, note, actor=actors.command(os_user()))
        except OrderError as error:
            raise CommandError(error.message) from error
        note_seen(order_id)
        if json:
            self.stdout.write(jsons.dumps(whole(queries.order_or_raise(order_id)), indent=1))
        else:
            self._print(order_id)

    def _print(self, order_id: UUID) -> None:
        order = queries.order_or_raise(order_id)
        self._heading(f"Order {order.pk}")
        self._rows(_facts(order))
        for heading, rows in _sections(order):
            self._heading(heading)
            self._rows(rows)
        flags = list(Flag.objects.filter(order=order))
        if flags:
            self._heading("Flags")
            self._rows(row for flag in flags for row in _flag(flag))
        self._heading("Journal")
        for line in _journal(OrderEvent.objects.filter(order=order).order_by("version")):
            self.stdout.write(f"  {line}")

    def _heading(self, text: str) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(text))

    def _rows(self, rows: Iterable[Row]) -> None:
        for name, value in rows:
            self.stdout.write(f"  {name:<{_WIDTH - 1}} {value}".rstrip())


def _sections(order: ChannelOrder) -> Iterator[tuple[str, list[Row]]]:
    yield "At which price", list(_price(order))
    yield "Payment", list(_payment(order))
    for number, refund in enumerate(order.refunds.select_related("transaction"), 1):
        yield f"Refund {number}", list(_refund(refund))
    yield "Node", list(_node(order))
    for opening in order.openings.all():
        yield f"Attempt {opening.attempt}", list(_attempt(opening))
    if order.opened_at or order.closed_at:
        yield "Channel", list(_channel(order))


def _facts(order: ChannelOrder) -> Iterator[Row]:
    state = OrderState(order.state)
    yield "state", f"{state.label} ({state.name} {state.number})"
    yield "waits", story.waits_for(order, timezone.now())
    yield "next look", when(order.due_at) if order.due_at else "when something happens"
    yield "surprises", ", ".join(story.surprises(order)) or "none"
    for flag in order.standing:
        yield "a person because", flag.words
    if order.give_up_reason:
        until = usable_until(order, order.give_up_until)
        yield "given up because", f"{order.give_up_reason}; retry possible until {when(until)}"
    if order.last_failure_reason:
        yield "last failure", f"{order.last_failure_reason} ({order.failed_openings} in a row)"
    yield "reference", keys.reference(order.pk)
    yield "created", f"{when(order.created_at)}, block {order.created_height:,}"
    yield "came by", story.came_by(order)
    yield "service", f"{order.service} ({order.service_id})"
    yield (
        "channel",
        f"{sat(order.capacity_sat)} = {sat(order.lsp_balance_sat)} ours + {sat(order.client_balance_sat)} pushed",
    )
    yield "term", story.term(order.channel_expiry_blocks)
    yield "funding promised", story.funding_promise(order)


def _price(order: ChannelOrder) -> Iterator[Row]:
    amounts = {
        "base fee": order.base_fee_sat,
        "lease fee": order.lease_fee_sat,
        "opening": order.open_fee_sat,
        "closing": order.close_fee_sat,
        "up to the least": order.floor_fee_sat,
        **({f"coupon {order.coupon}": -order.discount_sat} if order.coupon else {}),
        "price": order.fee_total_sat,
        "pushed to the buyer": order.client_balance_sat,
        "total to pay": order.order_total_sat,
        "chain fees may be": order.fee_budget_sat,
    }
    width = max(len(sat(amount)) for amount in amounts.values())
    for name, amount in amounts.items():
        yield name, f"{sat(amount):>{width}}"
    yield "quoted at", f"{order.quoted_sat_per_kw:,} sat/kw{_later(order)}"


def _later(order: ChannelOrder) -> str:
    rate = order.open_sat_per_kw or order.quoted_sat_per_kw
    return f", its opening at {rate:,}" if rate != order.quoted_sat_per_kw else ""


def _payment(order: ChannelOrder) -> Iterator[Row]:
    yield "money", story.paid_with(order)
    yield "paid at", when(order.paid_at)
    yield "to be paid until", when(order.expires_at)
    invoice = order.invoice
    if invoice is not None:
        yield (
            "invoice",
            f"{invoice.get_state_display().lower()}, {sat(invoice.amount_sat)}, held {sat(invoice.held_sat)}",
        )
        yield "  payment hash", invoice.payment_hash
        times = {"held": invoice.held_at, "settled": invoice.settled_at, "cancelled": invoice.cancelled_at}
        yield from ((f"  {name}", when(at)) for name, at in times.items() if at)
        if invoice.hold_expires_height:
            yield "  hold expires", f"block {invoice.hold_expires_height:,}"
        if invoice.return_cause:
            yield "  returned because", invoice.return_cause.replace("_", " ")
    if order.deposit_address:
        yield "deposit address", order.deposit_address
    if order.refund_address:
        yield "refund address", order.refund_address
    for deposit in order.onchain_payments.all():
        where = f"block {deposit.block_height:,}" if deposit.block_height else "not mined"
        yield "deposit", f"{sat(deposit.amount_sat)}, {deposit.get_state_display().lower()}, {where}"
        yield "  outpoint", f"{deposit}, seen {when(deposit.seen_at)}"


def _refund(refund: Refund) -> Iterator[Row]:
    yield "state", f"{refund.get_state_display()}, due since {when(refund.created_at)}"
    yield "amount", sat(refund.amount_sat)
    yield "because", f"{refund.cause.replace('_', ' ')}{'; ' if refund.detail else ''}{refund.detail}"
    if refund.transaction is not None:
        yield "fee", f"{sat(refund.fee_sat)}: {sat(refund.sent_sat)} are the buyer's"
        yield "address", refund.address
        yield "transaction", str(refund.transaction.txid)
        yield "in a block", when(refund.refunded_at)


def _node(order: ChannelOrder) -> Iterator[Row]:
    host = f"@{order.node_host}" if order.node_host else ""
    yield "node", f"{order.node_pubkey}{host}" if order.node_pubkey else "not named yet"
    refused = f" ({order.announce_refused_by} has refused a public one)" if order.announce_refused_by else ""
    yield "channel is", f"{'public' if order.is_announced else 'private'}{refused}"
    if order.warnings:
        yield "was warned", story.warned(order)
    times = {
        "claimed": order.claimed_at,
        "to be claimed until": usable_until(order, order.claim_expires_at),
        "gives up at": usable_until(order, order.open_deadline_at),
    }
    yield from ((name, when(at)) for name, at in times.items() if at)


def _attempt(opening: ChannelOpening) -> Iterator[Row]:
    yield "state", f"{opening.get_state_display()} since {when(opening.changed_at)}"
    yield "begun", when(opening.created_at)
    yield "node", f"{opening.node_pubkey}{'@' if opening.node_host else ''}{opening.node_host}"
    added = f", of both {sat(opening.surplus_sat)} paid too much" if opening.surplus_sat else ""
    yield "size", f"{sat(opening.capacity_sat)}, {sat(opening.push_sat)} pushed{added}"
    if opening.failure_reason:
        yield "failure", f"{opening.failure_reason} {opening.failure_detail}"
    sent = opening.transaction
    if sent is not None:
        yield "funding outpoint", opening.funding_outpoint
        yield "funding fee", sat(sent.fee_sat)
        yield "published", when(sent.published_at)
        yield "block", f"{sent.block_height:,}" if sent.block_height else "not mined"
    if opening.conflict is not None:
        yield "put out by", opening.conflict.txid
    if opening.zero_conf:
        yield "usable", "before its funding is in a block"
    for name, value in (("short channel id", opening.short_channel_id), ("alias", opening.alias)):
        if value:
            yield name, value
    if opening.closing_txid:
        yield "closing", f"{opening.closing_txid} ({opening.close_type or 'unknown'})"


def _channel(order: ChannelOrder) -> Iterator[Row]:
    yield "opened", when(order.opened_at)
    if order.lease_starts_at:
        yield "lease starts", f"{when(order.lease_starts_at)}, block {order.lease_starts_height:,}"
        yield "lease ends", f"{when(order.lease_ends_at)}, block {order.lease_ends_height:,}"
    if order.lease_gift_blocks:
        yield "extended by", story.term(order.lease_gift_blocks)
    yield "forwarding costs", story.routing_promise(order)
    for closing in order.closings.all():
        early = ", before its lease's end" if closing.overrides_lease else ""
        how = f"{closing.get_kind_display()}{early}: {closing.get_state_display().lower()}"
        yield "close", f"{how}, wanted {when(closing.created_at)} by {closing.actor}: {closing.reason}"
        if closing.trouble:
            yield "  waits after", f"{closing.trouble} ({closing.tries} tries) {closing.detail}".rstrip()
    if order.closed_at or order.closing_txid:
        yield "closed", f"{when(order.closed_at)} {order.closing_txid}"


def _flag(flag: Flag) -> Iterator[Row]:
    down = f"down since {when(flag.lowered_at)} by {flag.lowered_by}" if flag.lowered_at else "stands"
    yield flag.label, flag.words
    yield "", f"raised {when(flag.raised_at)} by {flag.raised_by}; {down}"


def _journal(events: Iterable[OrderEvent]) -> Iterator[str]:
    rows = [(str(event.version), when(event.at), event.actor, _what(event)) for event in events]
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for version, at, actor, what in rows:
        head = f"{version:>{widths[0]}}  {at:<{widths[1]}}  {actor:<{widths[2]}}  "
        first, *others = what.split("\n")
        yield f"{head}{first}"
        yield from (f"{'':<{len(head)}}{line}".rstrip() for line in others)  # below its words: no line of the journal


def _what(event: OrderEvent) -> str:
    before = OrderState(event.from_state).name if event.from_state else "NEW"
    moved = f" [{before} -> {OrderState(event.to_state).name}]" if event.from_state != event.to_state else ""
    facts = "; ".join(f"{name}: {value}" for name, value in story.facts(event.facts))
    return f"{event.cause.replace('_', ' ')}{moved}{'  ' + facts if facts else ''}"
