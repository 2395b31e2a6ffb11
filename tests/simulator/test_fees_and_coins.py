"""Fees that rise, and coins made into others, once more on the simulator."""

from __future__ import annotations

from tests.e2e.test_fees_and_coins import *  # noqa: F403
