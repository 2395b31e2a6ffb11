"""The books: each move is posted as it is made, they add up, and nobody changes them."""

from __future__ import annotations

import pytest

from orders.books import recounting

pytestmark = pytest.mark.django_db


def test_smoke() -> None:
    assert recounting.differences() == ([], 0)
    assert recounting.unbalanced() == []
    assert recounting.uncovered() == []
