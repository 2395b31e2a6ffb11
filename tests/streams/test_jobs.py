"""Which order is looked at when: pure, and with threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from streams.jobs import _LONGEST_WAITING, _TURNS, FAIR, Jobs, Rank, Waiting

A, B, C = uuid4(), uuid4(), uuid4()


def taken(orders: Waiting) -> list[UUID]:
    found = []
    while (order_id := orders.take()) is not None:
        found.append(order_id)
    return found


def test_an_order_waits_once_however_often_it_is_added() -> None:
    orders = Waiting(at_once=9)
    for order_id in (A, B, A, A):
        orders.add(order_id)
    assert len(orders) == 2
    assert taken(orders) == [A, B]


def test_no_more_orders_run_than_there_are_threads() -> None:
    orders = Waiting(at_once=2)
    for order_id in (A, B, C):
        orders.add(order_id)
    assert taken(orders) == [A, B]
    orders.done(A)
    assert taken(orders) == [C]


def test_an_order_added_during_its_look_is_looked_at_once_more_and_never_twice_at_a_time() -> None:
    orders = Waiting(at_once=9)
    orders.add(A)
    assert taken(orders) == [A]
    orders.add(A)
    orders.add(A)
    assert taken(orders) == []
    orders.done(A)
    assert taken(orders) == [A]
    orders.done(A)
    assert taken(orders) == []


def test_what_is_forgotten_is_not_looked_at_but_what_runs_goes_on() -> None:
    orders = Waiting(at_once=1)
    for order_id in (A, B, A):
        orders.add(order_id)
    orders.take()
    orders.add(A)
    orders.forget()
    assert (orders.running, len(orders)) == (1, 0)
    orders.done(A)
    assert taken(orders) == []


def run_jobs(look: Callable[[UUID], None], *order_ids: UUID, threads: int = 2) -> bool:
    """Each of these orders was looked at, and all looks have ended."""

    async def main() -> bool:
        idle = asyncio.Event()
        jobs = Jobs(threads=threads, look=look, ended=lambda _: idle.set())
        for order_id in order_ids:
            jobs.add(order_id)
        while jobs.orders.running or len(jobs.orders):
            idle.clear()
            await idle.wait()
        return await jobs.close(10)

    return asyncio.run(asyncio.wait_for(main(), 30))


def test_a_slow_look_does_not_stop_another_order() -> None:
    other_ended = threading.Event()
    waited: list[bool] = []

    def look(order_id: UUID) -> None:
        if order_id == A:
            waited.append(other_ended.wait(20))
        else:
            other_ended.set()

    assert run_jobs(look, A, B)
    assert waited == [True]


def test_a_look_that_fails_ends_nothing() -> None:
    seen: list[UUID] = []

    def look(order_id: UUID) -> None:
        seen.append(order_id)
        if order_id == A:
            raise RuntimeError("a defect")

    assert run_jobs(look, A, B, C, threads=1)
    assert seen == [A, B, C]


def test_one_order_is_never_looked_at_by_two_threads() -> None:
    alone = threading.Lock()
    collisions: list[UUID] = []
    rounds = iter(range(50))

    def look(order_id: UUID) -> None:
        if not alone.acquire(blocking=False):
            collisions.append(order_id)
            return
        alone.release()

    def again(jobs: Jobs) -> None:
        def ended(_: UUID) -> None:
            if next(rounds, None) is not None:
                jobs.add(A)
                jobs.add(A)

        jobs._ended = ended
        jobs.add(A)

    async def main() -> None:
        jobs = Jobs(threads=4, look=look, ended=lambda _: None)
        again(jobs)
        while jobs.orders.running or len(jobs.orders):
            await asyncio.sleep(0.001)
        await jobs.close(10)

    asyncio.run(main())
    assert collisions == []


def test_closing_says_when_a_look_still_runs() -> None:
    go_on = threading.Event()

    def look(order_id: UUID) -> None:
        go_on.wait(20)

    async def main() -> bool:
        jobs = Jobs(threads=1, look=look, ended=lambda _: None)
        jobs.add(A)
        jobs.add(B)
        try:
            return await jobs.close(0.1)
        finally:
            go_on.set()

    assert asyncio.run(main()) is False


def in_turn(orders: Waiting) -> list[UUID]:
    """One after another, until none waits."""
    seen = []
    while (order_id := orders.take()) is not None:
        seen.append(order_id)
        orders.done(order_id)
    return seen


def test_who_paid_and_waits_goes_before_what_is_looked_at_once_more_and_repeated_attempts_go_last() -> None:
    orders = Waiting(at_once=1)
    for order_id, rank in ((A, Rank.REPEATED), (C, Rank.MONEY), (B, Rank.FIRST)):
        orders.add(order_id, rank)
    assert in_turn(orders) == [B, C, A]


def test_what_a_client_does_whose_payments_came_to_nothing_is_looked_at_after_what_others_do() -> None:
    orders = Waiting(at_once=1)
    suspects = [uuid4() for _ in range(30)]
    for order_id in suspects:
        orders.add(order_id, Rank.SUSPECT)
    for order_id, rank in ((A, Rank.NEWS), (B, Rank.FIRST), (C, Rank.MONEY)):
        orders.add(order_id, rank)
    seen = in_turn(orders)
    assert (seen[:3], seen[3:]) == ([A, B, C], suspects)


@pytest.mark.parametrize("rank", sorted(FAIR))
def test_ones_first_order_goes_before_anothers_second(rank: Rank) -> None:
    orders = Waiting(at_once=1)
    for order_id, before in ((A, 2), (B, 1), (C, 0)):
        orders.add(order_id, rank, before)
    assert in_turn(orders) == [C, B, A]


def test_what_money_and_repeated_attempts_wait_for_is_the_same_for_all() -> None:
    orders = Waiting(at_once=1)
    for order_id, before in ((A, 2), (B, 1), (C, 0)):
        orders.add(order_id, Rank.MONEY, before)
    assert in_turn(orders) == [A, B, C]


def test_new_clients_without_end_keep_nobody_from_his_turn() -> None:
    orders = Waiting(at_once=1)
    orders.add(A, Rank.NEWS, before=100)
    for _ in range(_LONGEST_WAITING):
        orders.add(uuid4(), Rank.NEWS)
    assert A in in_turn(orders)[:_LONGEST_WAITING]


def test_who_is_before_an_order_counts_for_what_comes_during_its_look() -> None:
    orders = Waiting(at_once=1)
    orders.add(A, Rank.NEWS)
    assert taken(orders) == [A]
    orders.add(A, Rank.NEWS, before=1)
    orders.add(B, Rank.NEWS)
    orders.done(A)
    assert in_turn(orders) == [B, A]


def test_however_much_each_block_looks_at_a_first_attempt_waits_for_few_of_these() -> None:
    """With a turn in six it waited for nearly all."""
    orders = Waiting(at_once=1)
    for _ in range(60):
        orders.add(uuid4(), Rank.MONEY)
    firsts = [uuid4() for _ in range(10)]
    for order_id in firsts:
        orders.add(order_id, Rank.FIRST)
    seen = in_turn(orders)
    assert max(map(seen.index, firsts)) < len(firsts) * 3 // 2


def test_a_thread_is_kept_for_what_moves_money() -> None:
    orders = Waiting(at_once=2)
    for order_id in (A, B):
        orders.add(order_id, Rank.FIRST)
    assert taken(orders) == [A]
    orders.add(C)
    assert taken(orders) == [C]


def test_threads_are_kept_for_who_has_just_paid_or_claimed() -> None:
    """A look takes as long as its calls do: looks that can wait must not have all threads."""
    orders = Waiting(at_once=8)
    for _ in range(9):
        orders.add(uuid4(), Rank.MONEY)
        orders.add(uuid4(), Rank.REPEATED)
    assert len(taken(orders)) == 6
    for order_id in (A, B, C):
        orders.add(order_id, Rank.NEWS)
    assert taken(orders) == [A, B]


def test_one_thread_serves_all() -> None:
    orders = Waiting(at_once=1)
    orders.add(A, Rank.REPEATED)
    assert taken(orders) == [A]


def test_a_look_that_waits_for_a_peer_keeps_no_other_from_its_turn_and_is_still_the_only_one_of_its_order() -> None:
    orders = Waiting(at_once=1)
    for order_id in (A, B):
        orders.add(order_id)
    assert taken(orders) == [A]
    orders.step_aside(A)
    assert taken(orders) == [B]
    orders.add(A)
    orders.done(B)
    assert taken(orders) == []
    orders.done(A)
    assert taken(orders) == [A]


def test_a_rank_that_changes_while_it_waits_counts() -> None:
    orders = Waiting(at_once=1)
    orders.add(A, Rank.REPEATED)
    orders.add(B, Rank.FIRST)
    orders.add(A, Rank.NEWS)
    assert (len(orders), taken(orders)) == (2, [A])


def test_what_somebody_has_just_done_goes_before_what_is_looked_at_once_more() -> None:
    orders = Waiting(at_once=1)
    orders.add(A, Rank.MONEY)
    orders.add(B, Rank.NEWS)
    assert taken(orders) == [B]


@pytest.mark.parametrize("waits", [Rank.MONEY, Rank.FIRST, Rank.SUSPECT, Rank.REPEATED])
def test_whatever_comes_without_end_keeps_nothing_else_from_its_turn(waits: Rank) -> None:
    orders = Waiting(at_once=1)
    orders.add(A, waits)
    seen = []
    for _ in _TURNS:
        for rank in Rank:
            orders.add(uuid4(), rank)  # of its own rank too: those came later
        order_id = orders.take()
        assert order_id is not None
        seen.append(order_id)
        orders.done(order_id)
    assert A in seen


def test_it_is_known_how_long_the_longest_waits_where_more_do_than_are_soon_looked_at() -> None:
    now = 100.0
    orders = Waiting(at_once=1, clock=lambda: now)
    orders.add(A, Rank.NEWS)
    now = 101.5
    orders.add(B, Rank.FIRST)
    assert orders.waits_seconds(Rank.NEWS, Rank.FIRST) == 0
    orders.add(C, Rank.NEWS)
    assert orders.waits_seconds(Rank.NEWS, Rank.FIRST) == 1.5
    assert orders.waits_seconds(Rank.MONEY, Rank.REPEATED) == 0
    orders.take()
    assert orders.waits_seconds(Rank.NEWS, Rank.FIRST) == 0


def test_who_pays_often_does_not_stop_the_sales_by_what_waits_for_his_own() -> None:
    now = 100.0
    orders = Waiting(at_once=1, clock=lambda: now)
    for before in (1, 2, 3):
        orders.add(uuid4(), Rank.NEWS, before)
    now = 104.0
    assert orders.waits_seconds(Rank.NEWS, only_first=True) == 0
    assert orders.waits_seconds(Rank.NEWS) == 4
    for _ in range(3):
        orders.add(uuid4(), Rank.NEWS)
    now = 105.0
    assert orders.waits_seconds(Rank.NEWS, only_first=True) == 1
