"""Parts of the admin's first page."""

from __future__ import annotations

from typing import Any

from django import template

from orders.dashboard.bars import Bar

register = template.Library()


@register.inclusion_tag("admin/orders/bar.html")
def bar(each: Bar) -> dict[str, Any]:
    """A line with its bar. What is not nothing is seen."""
    width = max(each.share, 0.6) if each.share else 0.0
    return {
        "label": each.label,
        "value": each.value,
        "detail": each.detail,
        "tone": each.tone,
        "url": each.url,
        "width": f"{min(width, 100):.1f}",
    }
