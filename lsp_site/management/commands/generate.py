"""`manage.py generate`: the pages of `docs/` that are written from the code."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from lsp_site.pages import PAGES


class Command(BaseCommand):
    """Writes the generated pages, or compares them."""

    help = "Writes docs/configuration.md, docs/states.md and docs/openapi.yaml from the code."

    def add_arguments(self, parser: CommandParser) -> None:
        """`--check` changes nothing."""
        parser.add_argument("--check", action="store_true", help="only say which are not as the code would write them")

    def handle(self, *args: Any, check: bool = False, **options: Any) -> None:
        """The pages are as the code says. Raises: CommandError that names those that were not (`--check`)."""
        different = []
        for name, written in PAGES.items():
            path, text = settings.BASE_DIR / name, written()
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            different.append(name)
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        if check and different:
            raise CommandError(f"Not as the code says: {', '.join(different)} (python manage.py generate)")
        self.stdout.write(f"generated pages: {', '.join(different) or 'all as the code says'}")
