"""`python -m tests.upgrade.making`: a database and a simulated node of this version are filled and written down.

They go to tests/upgrade/shop-NNNN, NNNN being the number of the last migration of orders. What was made once is never
made again: it stands for the servers that run that version, and the code that made it is in the history of this folder.
The maker is kept so that a later version can be written down too; it makes only what the code of its day makes.
"""

from __future__ import annotations

import os
import sys


def start() -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    from django.conf import settings

    # Before anybody has read them. They are written down with the rest, and worth nothing.
    settings.PREIMAGE_KEY, settings.SECRET_KEY = "0b" * 32, "5e" * 32
    import django

    django.setup()
    from tests.upgrade.making.dumping import main  # after the setup: it imports models

    return main()


if __name__ == "__main__":
    sys.exit(start())
