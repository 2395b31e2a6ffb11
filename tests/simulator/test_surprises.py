"""Money that comes late, twice, short or too much, once more on the simulator."""

from __future__ import annotations

from tests.e2e.test_surprises import *  # noqa: F403
