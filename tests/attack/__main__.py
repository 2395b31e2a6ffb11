"""`make attack`: ten minutes, or as long as one says, by all attackers, or by the one that is named."""

from __future__ import annotations

import os
import sys

import django


def start() -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from tests.attack.run import main  # after the setup: it imports models

    return main()


if __name__ == "__main__":
    sys.exit(start())
