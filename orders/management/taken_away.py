"""What leaves by a command, and would be on the trail had it left by a page, is on the trail too."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from orders import actors, trail
from orders.management.commands.retry_give_up import os_user
from orders.models import AuditKind


def note_export(command: str, **asked: Any) -> None:
    """There is a line of what is about to be given, and what was asked for. What cannot be noted is not given."""
    facts = {"command": command, "asked": {name: value for name, value in asked.items() if value}}
    trail.add(AuditKind.EXPORT, f"manage.py {command}", actor=actors.command(os_user()), facts=facts)


def note_seen(order_id: UUID) -> None:
    """There is a line of the order that is about to be shown as a whole, as of its page."""
    trail.saw("the whole id, by manage.py order", [order_id], actor=actors.command(os_user()))
