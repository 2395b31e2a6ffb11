"""Which tests run on real nodes, by their names alone: all of them in one process, on one network."""

from __future__ import annotations

#: Folders and files; a few tests in them need none.
_ON_REAL_NODES = (
    "tests/regtest/",
    "tests/contract/",
    "tests/e2e/",
    "tests/chaos/test_chain.py",
    "tests/chaos/test_kills.py",
    "tests/chaos/test_losses.py",
    "tests/simulator/test_real.py",
    "tests/simulator/test_signatures.py",
    "tests/streams/test_real_nodes.py",
)


def has_real_nodes(nodeid: str) -> bool:
    """The test's file is one of those."""
    return nodeid.startswith(_ON_REAL_NODES)
