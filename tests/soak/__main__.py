"""`make soak`: 500 orders, or as many as one says."""

from __future__ import annotations

import os
import sys

import django


def start() -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from tests.soak.run import main  # after the setup: it imports what reads settings

    return main()


if __name__ == "__main__":
    sys.exit(start())
