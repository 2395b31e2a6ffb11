"""Who gives way to whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from orders.admission import rules
from orders.admission.rules import Claim

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def claim(number: int, *, value: int = 100, age: int = 60, left: int = -1, client: str = "", node: str = "") -> Claim:
    since, until = NOW - timedelta(seconds=age), NOW + timedelta(seconds=left)
    return Claim(UUID(int=number), client, node, value, since, until)


def numbers(claims: list[Claim]) -> list[int]:
    return [each.order_id.int for each in claims]


def goes(claims: list[Claim], needed: int, *, only_over: bool = False, asked: int | None = None) -> list[int]:
    return numbers(rules.who_goes(claims, needed, NOW, only_over=only_over, asked_sat=asked))


def test_nobody_goes_for_nothing() -> None:
    assert goes([claim(1)], 0) == []


def test_no_more_go_than_are_needed() -> None:
    assert len(goes([claim(n) for n in range(9)], 250)) == 3


def test_who_has_had_his_time_goes_before_a_larger_one_who_has_not() -> None:
    assert goes([claim(1, value=9_000, age=200, left=100), claim(2)], 50) == [2]


def test_who_is_within_his_time_does_not_go_for_his_equals() -> None:
    assert goes([claim(1, left=100)], 50, only_over=True) == []
    assert goes([claim(1, left=100)], 50) == [1]


def test_within_his_time_only_who_holds_much_more_goes_for_who_has_paid_and_the_largest_first() -> None:
    within = [claim(1, value=199, left=100), claim(2, value=200, left=100), claim(3, value=900, age=1, left=100)]
    assert goes(within, 100, only_over=True, asked=100) == [3]
    assert goes(within, 1_000, only_over=True, asked=100) == [3, 2]
    assert goes([*within, claim(4, value=10)], 5, only_over=True, asked=100) == [4]  # whose time is over, before


def test_deposits_in_no_block_take_from_nobody_within_his_time_however_much_he_holds() -> None:
    assert goes([claim(1, value=10**9, left=100)], 100, only_over=True) == []


def test_the_largest_holder_goes_first_and_its_oldest() -> None:
    many = [claim(n, client="one address", age=60 + n) for n in range(4)]
    assert goes([*many, claim(9, value=150)], 100) == [3]


def test_a_holder_of_many_small_ones_is_as_large_as_they_are_together() -> None:
    small = [claim(n, value=30, client="one address") for n in range(5)]
    assert goes([*small, claim(9, value=100)], 20) == [0]


def test_another_name_of_a_node_makes_nobody_smaller() -> None:
    named = [claim(n, client="one address", node=f"node {n}") for n in range(3)]
    assert goes([*named, claim(9, value=150)], 50) == [0]


def test_orders_for_one_node_from_many_addresses_are_one_holders() -> None:
    named = [claim(n, client=f"address {n}", node="a node") for n in range(3)]
    assert goes([*named, claim(9, value=150, client="another")], 50) == [0]


def test_the_largest_may_be_another_one_after_the_first_has_gone() -> None:
    assert goes([claim(1, value=200, client="a"), claim(2, value=150, client="b")], 210) == [1, 2]


def test_who_came_last_weighs_nothing() -> None:
    assert goes([claim(1, value=10**9, age=0), claim(2, value=1)], 1) == [2]


def test_of_equals_the_oldest_goes() -> None:
    assert goes([claim(1, value=100, age=60), claim(2, value=50, age=120)], 10) == [2]


@given(
    st.lists(
        st.tuples(st.integers(1, 500), st.integers(0, 900), st.integers(-300, 300), st.sampled_from(["", "a", "b"])),
        max_size=20,
    ),
    st.integers(0, 3_000),
    st.booleans(),
)
def test_enough_go_or_all_that_may(rows: list[Any], needed: int, only_over: bool) -> None:
    claims = [claim(n, value=v, age=a, left=u, client=c) for n, (v, a, u, c) in enumerate(rows)]
    going = rules.who_goes(claims, needed, NOW, only_over=only_over)
    may = [each for each in claims if each.is_over(NOW) or not only_over]
    assert len(set(going)) == len(going) and set(going) <= set(may)
    freed = sum(each.value_sat for each in going)
    assert freed >= needed or set(going) == set(may)
    assert not going or freed - going[-1].value_sat < needed  # nobody went in vain


def test_too_many_quotes_end_beginning_with_those_that_had_time_to_pay() -> None:
    quotes = [claim(1, age=400), claim(2, age=200, value=10_000), claim(3, age=500)]
    assert numbers(rules.quotes_that_go(quotes, 1, NOW, patience_seconds=300)) == [3]
    assert numbers(rules.quotes_that_go(quotes, 3, NOW, patience_seconds=300)) == [3, 1, 2]
