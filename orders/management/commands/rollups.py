"""`manage.py rollups`: what figures by day come from is read and added up now, or made anew."""

from __future__ import annotations

import json as jsons
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from lightning import connection as lightning
from orders.models import RollUp, RollUpName
from orders.rollups import keeping


class Command(BaseCommand):
    """Repeat: safe, beside the server too."""

    help = "Reads the node's forwards, samples the stock and adds days up, as the server does every ten minutes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--rebuild", action="store_true", help="add every day up anew of which all is still there; ask no node"
        )
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, rebuild: bool, json: bool, **options: Any) -> None:
        made = keeping.rebuild() if rebuild else {}
        said = "" if rebuild else keeping.keep(lightning.node(), timezone.now())
        rows = list(RollUp.objects.order_by("name"))
        if json:
            told = {
                each.name: {
                    "through": each.through and each.through.isoformat(),
                    "whole_from": each.whole_from and each.whole_from.isoformat(),
                    "made": made.get(RollUpName(each.name)),
                }
                for each in rows
            }
            self.stdout.write(jsons.dumps({"said": said, "rollups": told}, indent=2))
            return
        self.stdout.write(said or "Made anew.")
        for each in rows:
            counted = f", {made[RollUpName(each.name)]:,} rows" if made else ""
            how_far = f"through {each.through}" if each.through else "no day yet"
            self.stdout.write(f"  {each.get_name_display():<24} {how_far}{counted}")
