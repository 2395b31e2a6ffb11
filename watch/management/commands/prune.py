"""`manage.py prune`: what is over, and no record of money, is deleted now."""

from __future__ import annotations

import json as jsons
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from watch import forgetting


class Command(BaseCommand):
    """Repeat: safe, beside the server too."""

    help = "Deletes what is over and no record of money, as the worker does each day."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count what would go, delete nothing")
        parser.add_argument("--json", action="store_true", help="for machines: an object of counts")

    def handle(self, *args: Any, dry_run: bool, json: bool, **options: Any) -> None:
        asked = forgetting.count if dry_run else forgetting.forget
        found = dict(asked(timezone.now()))
        if json:
            self.stdout.write(jsons.dumps(found))
            return
        for name, count in found.items():
            self.stdout.write(f"{count:>9,} {name}")
