"""`manage.py check_books`: whether every satoshi is where the books have it, and the books for an accountant."""

from __future__ import annotations

import json as jsons
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from lightning import connection as lightning
from lightning.errors import LightningError
from orders import actors
from orders.auditing import checking, correcting
from orders.auditing.checking import Held, Report
from orders.books import exporting
from orders.errors import OrderError
from orders.management.commands.retry_give_up import os_user
from orders.management.taken_away import note_export
from orders.models import Leg
from orders.story import sat


class Command(BaseCommand):
    """Exits with 1 when something does not add up."""

    help = "Compares the books with our rows and with the node's wallet, to the satoshi; exit code 1 when they differ."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for machines")
        parser.add_argument("--csv", metavar="FILE", help="write all entries there, a line for each leg; -: print them")
        parser.add_argument(
            "--correct", metavar="TXID", help="the wallet is right: book the difference as a loss, for --reason"
        )
        parser.add_argument("--reason", default="", metavar="TEXT", help="with --correct: it stays in the books")
        parser.add_argument("--records", action="store_true", help="compare with our rows alone, and ask no node")

    def handle(self, *args: Any, json: bool, csv: str | None, records: bool, **options: Any) -> None:
        if csv is not None:
            self._export(csv)
            return
        try:
            if options["correct"]:
                self._correct(options["correct"], options["reason"])
            report = checking.check(None if records else lightning.node())
        except LightningError as error:
            raise CommandError(f"The node cannot be asked, or did not answer: {error}") from error
        except OrderError as error:
            raise CommandError(error.message) from error
        if not records:
            checking.remember(report)
        if json:
            self.stdout.write(jsons.dumps(checking.facts(report, whole_ids=True), indent=2))
        else:
            self._tell(report)
        if not report.adds_up:
            sys.exit(1)

    def _correct(self, txid: str, reason: str) -> None:
        by_sat = correcting.correct(txid, reason=reason, node=lightning.node(), actor=actors.command(os_user()))
        self.stderr.write(f"{txid}: booked {by_sat:+,} sat")

    def _export(self, name: str) -> None:
        note_export("check_books --csv", file=name)
        if name == "-":
            for line in exporting.lines(Leg.objects.all()):
                self.stdout.write(line)
            return
        count = -1  # besides the head
        try:
            with open(name, "w", encoding="utf-8", newline="") as file:
                for line in exporting.lines(Leg.objects.all()):
                    file.write(line)
                    count += 1
        except OSError as error:
            raise CommandError(f"{name} cannot be written: {error.strerror}") from error
        self.stdout.write(f"{count:,} lines written to {name}")

    def _tell(self, report: Report) -> None:
        for account, msat in report.balances.items():
            if msat:
                self.stdout.write(
                    f"{account.label:<32}{sat(abs(msat) // 1000):>24} {'debit' if msat > 0 else 'credit'}"
                )
        for each in report.differences:
            order = each.order_id or "of no order"
            self.stdout.write(
                f"order {order}: {each.account} is {each.booked_msat:,} msat, and our rows say {each.said_msat:,}"
            )
        for reference, left in report.unbalanced:
            self.stdout.write(f"entry {reference}: its legs leave {left} msat")
        for order_id, msat in report.uncovered:
            self.stdout.write(f"loss  {order_id}: {sat(msat // 1000)} more went out than have come")
        if report.node is not None:
            self._tell_of(report.node)
        self.stdout.write(checking.words(report))

    def _tell_of(self, held: Held) -> None:
        self.stdout.write(f"{'in the wallet':<32}{sat(held.balance_sat):>24}")
        for category, (count, total_sat) in sorted(held.categories.items()):
            self.stdout.write(f"  {category.replace('_', ' '):<22}{count:>8,}{total_sat:>+20,} sat")
        if held.unsettled_sat:
            self.stdout.write(f"  {'not deep yet':<30}{held.unsettled_sat:>+20,} sat")
        for each in held.wrong:
            there = "nothing" if each.wallet_sat is None else f"{each.wallet_sat:,} sat"
            self.stdout.write(f"{each.category} {each.txid}: {each.booked_sat:,} sat booked, {there} in the wallet")
