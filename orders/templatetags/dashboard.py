"""The admin's first page: what needs a person, and the figures of a period."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils import timezone

from orders import dashboard as room

register = template.Library()


@register.inclusion_tag("admin/orders/dashboard.html", takes_context=True)
def dashboard(context: dict[str, Any]) -> dict[str, Any]:
    """For the period that the address asks for."""
    request = context["request"]
    passed_on = {"request": request, "csrf_token": context.get("csrf_token")}
    return room.dashboard(request.GET, timezone.now()) | passed_on
