"""That the tests' order knows the files that there are, and that two processes never share what one must have alone."""

from __future__ import annotations

import pytest

from tests.house.source import ROOT
from tests.order import LONGEST, ON_ONE_BROWSER, ON_ONE_SERVER, ON_REAL_NODES
from tests.side_by_side import parts


@pytest.mark.parametrize("name", sorted({*ON_REAL_NODES, *ON_ONE_SERVER, *LONGEST}))
def test_what_is_named_is_there(name: str) -> None:
    assert (ROOT / name).exists()


def test_who_asks_for_the_visited_server_is_named() -> None:
    asking = {path for path in (ROOT / "tests/site").glob("test_*.py") if "visited: Visited" in path.read_text()}
    assert {str(path.relative_to(ROOT)) for path in asking} == set(ON_ONE_SERVER)


def test_what_shares_the_browser_is_one_part() -> None:
    part_of = parts([f"{ON_ONE_BROWSER}test_walk.py::a", "tests/unit/test_ids.py::b", f"{ON_ONE_BROWSER}test_b.py::c"])
    assert len(set(part_of.values())) == 2


def test_what_shares_real_nodes_or_a_server_is_one_part_wherever_it_stands() -> None:
    real = ["tests/regtest/test_network.py::a", "tests/e2e/test_coins.py::b"]
    server = ["tests/site/test_readme.py::c", "tests/site/test_beside.py::d"]
    part_of = parts([real[0], server[0], "tests/unit/test_ids.py::e", server[1], real[1]])
    assert len({part_of[each] for each in real}) == len({part_of[each] for each in server}) == 1
    assert len(set(part_of.values())) == 3


def test_a_file_whose_tests_stand_in_two_places_is_two_parts() -> None:
    part_of = parts(["a.py::rolled_back", "b.py::rolled_back", "a.py::committed", "a.py::committed_too"])
    assert part_of["a.py::rolled_back"] != part_of["a.py::committed"] == part_of["a.py::committed_too"]
