"""The simulator for tests that ask for it by name. Loaded as a pytest plugin by tests/conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulator.network import SimulatedNetwork


@pytest.fixture(scope="session")
def simulated_network() -> Iterator[SimulatedNetwork]:
    """A simulated LSP's node and its buyer, shared by all tests of a session."""
    with SimulatedNetwork() as running:
        yield running
