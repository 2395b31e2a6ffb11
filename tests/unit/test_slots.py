"""Who may wait for a stranger now, and who gives way to whom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid4

import pytest

from orders.openings.turns import Limits, limits
from streams import lanes
from streams.slots import Asking, Patience, Slots

PATIENCE = Patience(first_seconds=5, repeated_seconds=5)


def wants(client: str = "", peer: str = "", *, is_first: bool = True) -> Asking:
    order_id = uuid4()
    return Asking(order_id, peer or str(order_id), client, is_first)


def slots(at_once: int = 4, *, kept: int = 1, of_client: int = 99, repeated_of_client: int = 99, **more: Any) -> Slots:
    return Slots(Limits(at_once, at_once - kept, of_client, repeated_of_client), PATIENCE, **more)


def asked(places: Slots, *askings: Asking) -> list[bool]:
    return [places.ask(asking) for asking in askings]


def handed_out(places: Slots) -> list[UUID]:
    return [asking.order_id for asking in iter(places.next, None)]


def ids(askings: Iterable[Asking]) -> list[UUID]:
    return [asking.order_id for asking in askings]


def test_no_more_have_a_place_than_there_are_and_the_longest_waiting_is_next() -> None:
    places, all_first = slots(2, kept=0), [wants() for _ in range(4)]
    assert asked(places, *all_first) == [True, True, False, False]
    places.left(all_first[0].order_id)
    assert handed_out(places) == ids(all_first[2:3])


def test_a_place_is_kept_for_a_first_attempt_however_many_are_repeated() -> None:
    places = slots(4, kept=1)
    assert asked(places, *(wants(is_first=False) for _ in range(9))) == [True] * 3 + [False] * 6
    assert places.ask(wants())


def test_control_without_a_kept_place_repeated_attempts_hold_all() -> None:
    places = slots(4, kept=0)
    asked(places, *(wants(is_first=False) for _ in range(9)))
    assert not places.ask(wants())


def test_a_first_attempt_goes_before_repeated_ones_that_came_earlier() -> None:
    places, holds = slots(1, kept=0), wants()
    repeated, first = wants(is_first=False), wants()
    asked(places, holds, repeated, first)
    places.left(holds.order_id)
    assert handed_out(places) == [first.order_id]


def test_a_client_never_holds_all_places() -> None:
    places = slots(4, kept=0, of_client=3)
    assert asked(places, *(wants("greedy") for _ in range(9))) == [True] * 3 + [False] * 6
    assert places.ask(wants("another"))


def test_a_client_whose_attempts_are_repeated_holds_few() -> None:
    places = slots(8, kept=0, repeated_of_client=2)
    assert asked(places, *(wants("greedy", is_first=False) for _ in range(4))) == [True, True, False, False]


def test_who_is_not_known_is_nobody_in_particular() -> None:
    """Orders without a client's address would else all be one client's."""
    places = slots(4, kept=0, of_client=1)
    assert asked(places, wants(), wants(), wants()) == [True, True, True]


def test_the_client_with_fewest_places_is_next() -> None:
    places, holds = slots(2, kept=0), [wants("greedy"), wants("greedy")]
    asked(places, *holds)
    greedy, modest = wants("greedy"), wants("modest")
    asked(places, greedy, modest)
    places.left(holds[0].order_id)
    assert handed_out(places) == [modest.order_id]


def test_a_peer_is_tried_at_so_many_addresses_at_a_time() -> None:
    places = slots(9, kept=0, most_of_peer=2)
    assert asked(places, *(wants(peer="p") for _ in range(3))) == [True, True, False]
    assert places.ask(wants(peer="another"))


def test_who_has_waited_for_his_peer_gives_way_to_a_first_attempt_and_nobody_before() -> None:
    places, holds, waits = slots(1, kept=0), wants(), wants()
    asked(places, holds, waits)
    assert places.giving_way(100) is None  # it does not only wait
    places.interruptible(holds.order_id, 100)
    assert places.giving_way(104) is None
    assert places.giving_way(105) == holds.order_id
    assert places.giving_way(106) is None  # once
    places.left(holds.order_id)
    assert handed_out(places) == [waits.order_id]


def test_nobody_gives_way_to_a_repeated_attempt() -> None:
    places, holds = slots(1, kept=0), wants()
    asked(places, holds, wants(is_first=False))
    places.interruptible(holds.order_id, 0)
    assert places.giving_way(1000) is None


def test_nobody_gives_way_where_there_is_room() -> None:
    places, holds = slots(2, kept=0), wants()
    asked(places, holds)
    places.interruptible(holds.order_id, 0)
    assert places.giving_way(1000) is None


def test_who_works_on_after_his_peers_word_keeps_his_place() -> None:
    places, holds = slots(1, kept=0), wants()
    asked(places, holds, wants())
    places.interruptible(holds.order_id, 0)
    places.interruptible(holds.order_id, None)
    assert places.giving_way(1000) is None


def test_a_repeated_attempt_gives_way_before_a_first_one_that_waits_longer() -> None:
    places, first, repeated = slots(2, kept=0), wants(), wants(is_first=False)
    asked(places, repeated, first, wants())
    places.interruptible(first.order_id, 0)
    places.interruptible(repeated.order_id, 50)
    assert places.giving_way(100) == repeated.order_id


def test_a_peer_that_has_failed_before_is_waited_for_less_where_another_wants_the_place() -> None:
    places, holds = Slots(limits(1), lanes._PATIENCE), wants(is_first=False)
    asked(places, holds, wants())
    places.interruptible(holds.order_id, 0)
    assert [places.giving_way(seconds) for seconds in (1.9, 2.0)] == [None, holds.order_id]
    places, holds = Slots(limits(1), lanes._PATIENCE), wants()
    asked(places, holds, wants())
    places.interruptible(holds.order_id, 0)
    assert [places.giving_way(seconds) for seconds in (4.9, 5.0)] == [None, holds.order_id]


def test_of_those_alike_the_longest_waiting_gives_way() -> None:
    places, early, late = slots(2, kept=0), wants(), wants()
    asked(places, late, early, wants())
    places.interruptible(late.order_id, 2)
    places.interruptible(early.order_id, 1)
    assert places.giving_way(100) == early.order_id


def test_only_whose_leaving_helps_gives_way() -> None:
    """A client at his bound is helped by his own alone."""
    places, greedy, other = slots(9, kept=0, of_client=1), wants("greedy"), wants("other")
    asked(places, other, greedy, wants("greedy"))
    for each in (other, greedy):
        places.interruptible(each.order_id, 0)
    assert places.giving_way(100) == greedy.order_id
    assert places.giving_way(100) is None


def test_as_many_give_way_as_first_attempts_wait() -> None:
    places, holds = slots(3, kept=0), [wants() for _ in range(3)]
    asked(places, *holds, wants(), wants())
    for each in holds:
        places.interruptible(each.order_id, 0)
    assert [places.giving_way(100) is None for _ in range(3)] == [False, False, True]


def test_who_finds_nothing_left_waits_for_those_who_took_it_before_all_others() -> None:
    places, holds, short, later = slots(9, kept=0), wants(), wants(), wants()
    asked(places, holds, short)
    assert places.short(short.order_id)
    assert not places.ask(later)
    places.interruptible(holds.order_id, 0)
    assert places.giving_way(5) == holds.order_id
    places.left(holds.order_id)
    assert handed_out(places) == [short.order_id]


def test_where_nobody_else_has_a_place_nobody_is_waited_for() -> None:
    places, alone = slots(9, kept=0), wants()
    places.ask(alone)
    assert not places.short(alone.order_id)
    assert not places.short(wants().order_id)
    assert places.ask(wants())


def test_as_time_passes_one_after_the_other_finds_out_whether_there_is_enough() -> None:
    places, short, later = slots(5, kept=0), wants(), [wants() for _ in range(4)]
    asked(places, wants(), wants(), short)
    places.short(short.order_id)
    asked(places, *later)
    assert handed_out(places) == []
    places.widen()
    assert handed_out(places) == [short.order_id]
    places.widen()
    places.widen()
    assert handed_out(places) == ids(later[:2])  # and no bound but the usual one
    places.widen()
    assert handed_out(places) == []


def test_what_ends_an_attempt_has_its_place_whatever_the_limits() -> None:
    places, ends = slots(1, kept=0), wants(is_first=False)
    asked(places, wants())
    places.insist(ends)
    assert places.has(ends.order_id)
    assert not places.ask(wants())


def test_what_is_forgotten_has_no_turn() -> None:
    places, holds = slots(1, kept=0), wants()
    asked(places, holds, wants())
    places.forget_waiting()
    places.left(holds.order_id)
    assert handed_out(places) == []


@pytest.mark.parametrize("at_once", range(1, 64))
def test_however_many_places_there_are_some_are_for_repeated_attempts_and_some_for_others(at_once: int) -> None:
    most = limits(at_once)
    assert most.repeated >= 1 and most.of_client >= 1 and most.repeated_of_client >= 1
    assert most.repeated < at_once or at_once == 1
    assert most.of_client < at_once or at_once < 8
