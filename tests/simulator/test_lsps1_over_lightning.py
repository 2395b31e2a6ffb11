"""LSPS1 over Lightning, once more on the simulator: the same tests, without Go and in a fraction of the time."""

from __future__ import annotations

from tests.e2e.test_lsps1_over_lightning import *  # noqa: F403
