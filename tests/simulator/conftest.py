"""The simulator in place of real nodes, for every test of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.conftest import server_environment, shop
from tests.simulator.network import SimulatedNetwork

__all__ = ["server_environment", "shop"]


@pytest.fixture(scope="session")
def network(simulated_network: SimulatedNetwork) -> SimulatedNetwork:
    return simulated_network


@pytest.fixture
def add_peer(simulated_network: SimulatedNetwork) -> Any:
    return simulated_network.add_peer


@pytest.fixture
def add_own(network: SimulatedNetwork) -> Iterator[Callable[..., Any]]:
    """A simulator of the test's own, for what would disturb others."""
    with network.adding_nodes() as add:
        yield add
