"""`manage.py pause`: nothing more is sold, or no opening or close begins, until `manage.py resume`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders import actors
from orders.errors import InvalidField
from orders.management.commands.retry_give_up import os_user
from orders.models import Switch, SwitchName
from orders.operations import pausing
from orders.story import when


class Command(BaseCommand):
    """Without an option all are paused."""

    help = "Pauses sales, openings, closes, or all of them. What was begun goes on, and deadlines hold."

    def add_arguments(self, parser: CommandParser) -> None:
        add_switches(parser)
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why; buyers read it while sales are off")

    def handle(self, *args: Any, reason: str, **options: Any) -> None:
        for name in chosen(options):
            try:
                switch = pausing.pause(name, reason=reason, actor=actors.command(os_user()))
            except InvalidField as error:
                raise CommandError(error.message) from error
            self.stdout.write(told(switch))


def add_switches(parser: CommandParser) -> None:
    """`--sales`, `--openings` and `--closings`."""
    parser.add_argument("--sales", action="store_true", help="only the sales: nothing can be bought")
    parser.add_argument("--openings", action="store_true", help="only the openings: claimed orders wait")
    parser.add_argument("--closings", action="store_true", help="only the closes: channels whose lease is over stay")


def chosen(options: dict[str, Any]) -> list[SwitchName]:
    """Those that were named; all where none was."""
    return [name for name in SwitchName if options[name]] or list(SwitchName)


def told(switch: Switch) -> str:
    """One line for a terminal."""
    how = "on" if switch.on else f"paused: {switch.reason}"
    return f"{switch.name:<10}{how}  ({switch.actor}, {when(switch.at)})"
