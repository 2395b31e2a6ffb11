"""What `manage.py check` says about this configuration, beyond the faults that stop a start."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.utils.module_loading import import_string


@register
def transactions_are_ours(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A request is never one transaction: an operation commits its intent before it acts."""
    if settings.DATABASES["default"].get("ATOMIC_REQUESTS"):
        return [Error("ATOMIC_REQUESTS must be off.", id="lsp.E002")]
    return []


@register
def node_class_is_there(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The class that talks to the node can be imported, which is otherwise tried at the first call only."""
    try:
        import_string(settings.LIGHTNING_NODE)
    except ImportError as error:
        return [Error(f"LIGHTNING_NODE cannot be imported: {error}", id="lsp.E003")]
    return []


@register
def rate_source_is_there(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The function that tells the exchange rate can be imported, which is otherwise tried by the first buyer only."""
    if not settings.RATE_SOURCE:
        return []
    try:
        import_string(settings.RATE_SOURCE)
    except ImportError as error:
        return [Error(f"RATE_SOURCE cannot be imported: {error}", id="lsp.E004")]
    return []
