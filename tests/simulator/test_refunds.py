"""Money on chain that goes back by itself, once more on the simulator."""

from __future__ import annotations

from tests.e2e.test_refunds import *  # noqa: F403
