"""Channels that we close, leases that are extended and fees that are put back, once more on the simulator."""

from __future__ import annotations

from tests.e2e.test_closing import *  # noqa: F403
