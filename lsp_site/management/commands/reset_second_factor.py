"""`manage.py reset_second_factor`: for who has lost authenticator and recovery codes."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from lsp_site.people import reset_factor
from orders import actors
from orders.management.commands.retry_give_up import os_user


class Command(BaseCommand):
    """Whoever may run it has the database."""

    help = "Takes a person's second factor away: they enrol anew at the next login, and are logged in nowhere."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="of the account")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        user = User.objects.filter(username=name).first()
        if user is None:
            raise CommandError("There is no account of this name.")
        had = reset_factor(user, actor=actors.command(os_user()))
        said = "has no second factor any more" if had else "had no second factor"
        self.stdout.write(f"{name} {said}, and is logged in nowhere now.")
