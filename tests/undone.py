"""What a test tries of one world, one thing after another: each is undone before the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction


@contextmanager
def undone() -> Iterator[None]:
    """Nothing of what is written inside stays. Within a test whose own rows are rolled back."""
    block: Any = transaction.atomic()
    block._from_testcase = True  # as Django marks its own: what has to be outermost may begin inside
    with block:
        try:
            yield
        finally:
            transaction.set_rollback(True)
