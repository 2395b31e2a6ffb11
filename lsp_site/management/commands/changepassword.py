"""`manage.py changepassword`: as Django's own, and that it was changed is on the trail."""

from __future__ import annotations

import getpass
from typing import Any, Final

from django.contrib.auth.management.commands import changepassword
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import transaction

from orders import actors, trail
from orders.management.commands.retry_give_up import os_user
from orders.models import AuditKind

_TRIES: Final = 3


class Command(changepassword.Command):
    """Whoever may run it has the database."""

    def handle(self, *args: Any, **options: Any) -> str:
        """The person's password is another one, and they are logged in nowhere."""
        name = options["username"] or getpass.getuser()
        user = User.objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"user '{name}' does not exist")
        self.stdout.write(f"Changing password for user '{name}'")
        password = self._typed(user)
        with transaction.atomic():
            user.set_password(password)
            user.save(update_fields=["password"])
            trail.add(AuditKind.PASSWORD, f"set the password of {name} anew", actor=actors.command(os_user()))
        return f"Password changed successfully for user '{name}'"

    def _get_pass(self, prompt: str = "Password: ") -> str:
        """What is typed and not shown. Raises: CommandError where that is nothing."""
        typed = getpass.getpass(prompt)
        if not typed:
            raise CommandError("aborted")
        return typed

    def _typed(self, user: User) -> str:
        """Twice the same, and a good one. Raises: CommandError."""
        for _ in range(_TRIES):
            password = self._get_pass()
            if password != self._get_pass("Password (again): "):
                self.stdout.write("Passwords do not match. Please try again.")
                continue
            try:
                validate_password(password, user)
            except ValidationError as error:
                self.stderr.write("\n".join(error.messages))
            else:
                return password
        raise CommandError(f"Aborting password change for user '{user}' after {_TRIES} attempts")
