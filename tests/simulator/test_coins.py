"""What is for sale, once more on the simulator."""

from __future__ import annotations

from tests.e2e.test_coins import *  # noqa: F403
