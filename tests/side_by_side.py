"""The tests in two processes at once, each with its own database and simulators; the real nodes are one's alone."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.order import ON_ONE_BROWSER, ON_ONE_SERVER, has_real_nodes

_REAL_NODES, _ONE_SERVER, _ONE_BROWSER = "on real nodes", "on one server", "on one browser"


class SideBySide(LoadScopeScheduling):
    """Hands out whole files, in the order of the tests; what shares nodes, a server or a browser goes to one process.

    A file whose tests stand in two places of that order is two: each process keeps the order.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # ours says more than how many tests a file has
        self._part_of: dict[str, str] = {}

    def schedule(self) -> None:
        self._part_of = parts(next(iter(self.registered_collections.values())))
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self._part_of[nodeid]


def parts(nodeids: list[str]) -> dict[str, str]:
    """The part that each test belongs to."""
    found: dict[str, str] = {}
    for number, (path, stretch) in enumerate(groupby(nodeids, lambda nodeid: nodeid.partition("::")[0])):
        found |= dict.fromkeys(stretch, _part(path, number))
    return found


def _part(path: str, number: int) -> str:
    if has_real_nodes(path):
        return _REAL_NODES
    if path.startswith(ON_ONE_BROWSER):
        return _ONE_BROWSER
    return _ONE_SERVER if path in ON_ONE_SERVER else f"{path} {number}"
