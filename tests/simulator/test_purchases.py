"""The ways to buy a channel, once more, on the simulator: the same tests, without Go and in a fraction of the time."""

from __future__ import annotations

from tests.e2e.test_purchases import *  # noqa: F403
