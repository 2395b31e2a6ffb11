"""`manage.py createsuperuser` and `make admin`: Django's own, and whom it makes is on the trail."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.contrib.auth.models import User, UserManager
from django.contrib.auth.password_validation import validate_password
from django.db import transaction

from orders import actors, trail
from orders.management.commands.retry_give_up import os_user
from orders.models import AuditKind


class _Noted(UserManager[User]):
    """Whoever is made has a line in the same transaction."""

    #: Django tests a password only where it asks for one.
    is_asked: bool = True

    def create_superuser(self, username: str, *args: Any, **fields: Any) -> User:
        """One more, who may do everything. Raises: ValidationError."""
        if not self.is_asked:
            validate_password(fields.get("password") or "", User(username=username))
        with transaction.atomic():
            user = super().create_superuser(username, *args, **fields)
            facts = {"number": user.pk, "is_superuser": [False, True]}
            trail.add(AuditKind.PERSON, f"user {user} added", actor=actors.command(os_user()), facts=facts)
        return user


class _Accounts:
    """Django's model of accounts, but for its manager."""

    def __init__(self) -> None:
        self._default_manager = _Noted()
        self._default_manager.model = User

    def __getattr__(self, name: str) -> Any:
        return getattr(User, name)

    def __call__(self, **fields: Any) -> User:
        return User(**fields)


class Command(createsuperuser.Command):
    """Whoever may run it has the database."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.UserModel = _Accounts()  # type: ignore[assignment]  # all of it that Django's command asks for

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises: CommandError."""
        _Noted.is_asked = bool(options["interactive"])
        super().handle(*args, **options)
