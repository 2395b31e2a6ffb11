"""`python -m tests.bench`: how fast the server is, beside what its node could do without it."""

from __future__ import annotations

import os
import sys

import django


def start() -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from tests.bench.run import main  # after the setup: it imports models

    return main()


if __name__ == "__main__":
    sys.exit(start())
