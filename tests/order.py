"""In what order the tests run, and which of them must run in one process: by the names of their files."""

from __future__ import annotations

import pytest

#: All on one network of real nodes; a few tests in these need none.
ON_REAL_NODES = (
    "tests/regtest/",
    "tests/contract/",
    "tests/e2e/",
    "tests/chaos/test_chain.py",
    "tests/chaos/test_kills.py",
    "tests/chaos/test_kills_zero_conf.py",
    "tests/chaos/test_losses.py",
    "tests/simulator/test_real.py",
    "tests/simulator/test_signatures.py",
    "tests/soak/test_paying.py",
    "tests/streams/test_real_nodes.py",
)
#: They share one server that was started as a visitor starts it.
ON_ONE_SERVER = (
    "tests/site/test_beside.py",
    "tests/site/test_bodies.py",
    "tests/site/test_deploy.py",
    "tests/site/test_operating.py",
    "tests/site/test_readme.py",
    "tests/site/test_slow_clients.py",
    "tests/site/test_wallets.py",
)
#: They share one server and one browser.
ON_ONE_BROWSER = "tests/pages/"
#: Half a minute and more: begun last, one of these would keep a process at work alone.
LONGEST = (
    *ON_ONE_SERVER,
    ON_ONE_BROWSER,
    "tests/attack/",
    "tests/chaos/test_lost_replies.py",
    "tests/chaos/test_processes_killed.py",
    "tests/simulator/test_admission.py",
    "tests/simulator/test_lanes.py",
    "tests/site/test_run.py",
    "tests/site/test_serving.py",
    "tests/upgrade/",
)


def has_real_nodes(nodeid: str) -> bool:
    """Its file is one of those."""
    return nodeid.startswith(ON_REAL_NODES)


def turn(item: pytest.Item) -> int:
    """Lower runs earlier.

    First what finds the database as the migrations have made it, and leaves it so: others empty it. Then the tests of
    the test network itself, which want it as it begins and leave it as others can use it; what else is on real nodes
    follows at once, as beside it there are still tests enough for a second process.
    """
    if has_real_nodes(item.nodeid):
        return 1 if item.nodeid.startswith(("tests/regtest/", "tests/contract/")) else 2
    if _is_rolled_back(item):
        return 0
    return 3 if item.nodeid.startswith(LONGEST) else 4


def _is_rolled_back(item: pytest.Item) -> bool:
    """It uses the database, and nothing of what it writes stays."""
    names, marker = getattr(item, "fixturenames", ()), item.get_closest_marker("django_db")
    commits = "transactional_db" in names or bool(marker and marker.kwargs.get("transaction"))
    return ("db" in names or marker is not None) and not commits
