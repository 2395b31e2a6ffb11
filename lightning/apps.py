"""The Django application of the node's side: it has commands, and no models."""

from __future__ import annotations

from django.apps import AppConfig


class LightningConfig(AppConfig):
    """Our Lightning node."""

    name = "lightning"
    verbose_name = "Lightning node"
