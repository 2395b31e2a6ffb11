"""Two of staff list the same at one moment, by a connection each: one line stands, and one of them is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.db import IntegrityError

from orders import actors
from orders.barring import BanKind
from orders.errors import NotPossible
from orders.models import Ban
from orders.operations import banning
from tests.concurrency.test_races import at_once
from tests.factories import pubkey

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def both_have_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody writes before the other has seen that nothing is listed."""
    together, create = threading.Barrier(2), Ban.objects.create

    def slow(**fields: Any) -> Ban:
        with suppress(threading.BrokenBarrierError):
            together.wait(5)
        return create(**fields)

    monkeypatch.setattr(Ban.objects, "create", slow)


def lists(name: str) -> Callable[[], Ban]:
    return lambda: banning.add(BanKind.NODE, pubkey(5), reason="a court", actor=actors.staff(name))


def test_one_line_stands_and_who_was_second_is_told_that_it_is_listed(both_have_looked: None) -> None:
    [refusal] = [each for each in at_once(lists("ada"), lists("bob")) if isinstance(each, Exception)]
    assert isinstance(refusal, NotPossible)
    assert Ban.objects.filter(kind="node", lifted_at=None).count() == 1


def test_control_unless_that_is_read_from_the_database_it_is_an_error_of_ours(
    both_have_looked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(banning, "IntegrityError", ZeroDivisionError)
    [error] = [each for each in at_once(lists("ada"), lists("bob")) if isinstance(each, Exception)]
    assert isinstance(error, IntegrityError)
