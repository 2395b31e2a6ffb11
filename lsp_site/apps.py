"""The site's Django app: its commands and its checks."""

from __future__ import annotations

from django.apps import AppConfig


class SiteConfig(AppConfig):
    """The site."""

    name = "lsp_site"

    def ready(self) -> None:
        """Our system checks are registered."""
        from lsp_site import checks  # noqa: F401  (registering is what the import is for)
