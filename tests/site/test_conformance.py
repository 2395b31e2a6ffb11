"""The page of requirements leaves no number out, and each has a test of its own name, or says why it is left."""

from __future__ import annotations

import re

import pytest

from tests.house.source import ROOT

PAGE = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
ROWS: dict[str, str] = dict(re.findall(r"^\| ([A-Z]+-?\d+) \|(.*)$", PAGE, re.MULTILINE))
NUMBERS = [*(f"LU-{n:02}" for n in range(1, 16)), *(f"D{n}" for n in range(1, 17))]


def named(number: str) -> str:
    """How the names of its tests begin."""
    return f"test_{number.lower().replace('-', '')}_"


def test_no_number_is_left_out() -> None:
    assert list(ROWS) == NUMBERS


@pytest.mark.parametrize("number", NUMBERS)
def test_every_number_has_a_test_of_its_name_or_a_reason(number: str) -> None:
    is_left = ROWS[number].rstrip(" |").partition("| left, because ")[2]
    assert named(number) in ROWS[number] or is_left


def test_every_test_of_a_fault_is_on_the_page() -> None:
    found = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_d\d+_\w+)\(", path.read_text(encoding="utf-8"))
    }
    assert found == set(re.findall(r"::(test_d\d+_\w+)`", PAGE)) and len(found) > 15


_LSPS: dict[str, str] = dict(re.findall(r"^\| (L[0125]-\d+) \|(.*)$", PAGE, re.MULTILINE))


def test_no_number_of_lsps0_and_lsps1_is_left_out_or_twice() -> None:
    of_lsps1 = [*range(1, 8), *range(10, 29), *range(30, 33), *range(40, 47), *range(50, 63), *range(70, 83)]
    numbers = [*(f"L0-{n:02}" for n in range(1, 34)), *(f"L1-{n:02}" for n in of_lsps1)]
    assert sorted(re.findall(r"^\| (L[01]-\d+) \|", PAGE, re.MULTILINE)) == sorted(numbers)


def test_no_number_of_lsps5_is_left_out_or_twice() -> None:
    assert re.findall(r"^\| (L5-\d+) \|", PAGE, re.MULTILINE) == [f"L5-{n:02}" for n in range(1, 22)]


def test_no_number_of_lsps2_is_left_out_or_twice() -> None:
    assert re.findall(r"^\| (L2-\d+) \|", PAGE, re.MULTILINE) == [f"L2-{n:02}" for n in range(1, 31)]


@pytest.mark.parametrize("number", _LSPS)
def test_each_of_them_has_a_test_or_a_reason(number: str) -> None:
    is_left = _LSPS[number].rstrip(" |").partition("| left, because ")[2]
    assert "::test_" in _LSPS[number] or is_left


def test_what_concerns_the_payments_of_an_order_has_its_tests() -> None:
    assert all("::test_" in _LSPS[f"L1-{number}"] for number in (43, 46, *range(50, 63)))
