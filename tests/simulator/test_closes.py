"""Channels that end early, once more on the simulator."""

from __future__ import annotations

from tests.e2e.test_closes import *  # noqa: F403
