"""The simulator for tests that ask for it by name. Loaded as a pytest plugin by tests/conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.property.inside import Loop
from tests.simulator.network import SimulatedNetwork


@pytest.fixture(scope="session")
def simulated_network() -> Iterator[SimulatedNetwork]:
    """A simulated LSP's node and its buyer, shared by all tests of a session."""
    with SimulatedNetwork() as running:
        yield running


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    """Where simulators inside the tests' own process run: gRPC wants a single event loop for all of them."""
    running = Loop()
    yield running
    running.close()
