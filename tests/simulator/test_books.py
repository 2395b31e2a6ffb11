"""The books beside the wallet of a simulated node."""

from __future__ import annotations

from tests.e2e.test_books import *  # noqa: F403

pytestmark: list[object] = []  # in every run
