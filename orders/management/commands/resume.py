"""`manage.py resume`: what was paused goes on."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from orders import actors
from orders.management.commands.pause import add_switches, chosen, told
from orders.management.commands.retry_give_up import os_user
from orders.operations import pausing


class Command(BaseCommand):
    """Without an option all go on."""

    help = "Lets sales, openings, closes, or all of them go on. Orders that waited are due at once."

    def add_arguments(self, parser: CommandParser) -> None:
        add_switches(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        for name in chosen(options):
            self.stdout.write(told(pausing.resume(name, actor=actors.command(os_user()))))
