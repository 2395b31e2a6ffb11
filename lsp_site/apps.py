"""The site's Django app: its commands and its checks; and the admin with a site of ours."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class SiteConfig(AppConfig):
    """The site."""

    name = "lsp_site"

    def ready(self) -> None:
        """Our system checks are registered."""
        from lsp_site import checks  # noqa: F401  (registering is what the import is for)


class StaffConfig(AdminConfig):
    """Django's admin."""

    default_site = "lsp_site.staff.StaffSite"
