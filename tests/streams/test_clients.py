"""How the clients stand whose orders are in our hands."""

from __future__ import annotations

from uuid import uuid4

from orders.admission.standing import Standing
from streams.clients import Clients

A, B, C = uuid4(), uuid4(), uuid4()


def standing(client: str = "one", *, paid: int = 0, is_suspect: bool = False) -> Standing:
    return Standing(client, paid, is_suspect)


def test_a_clients_orders_go_one_before_another_and_before_none_of_anothers() -> None:
    clients = Clients()
    clients.told([A, B], {A: standing(), B: standing()})
    clients.told([C], {C: standing("another")})
    assert [clients.before(order_id) for order_id in (A, B, C)] == [0, 1, 0]


def test_what_comes_later_stands_behind_what_is_in_our_hands_and_what_was_paid_for() -> None:
    clients = Clients()
    clients.told([A], {A: standing()})
    clients.told([B], {B: standing(paid=2)})
    assert clients.before(B) == 3


def test_an_order_that_is_told_of_once_more_is_not_before_itself() -> None:
    clients = Clients()
    for _ in range(2):
        clients.told([A], {A: standing()})
    assert clients.before(A) == 0


def test_what_left_our_hands_is_before_nothing() -> None:
    clients = Clients()
    clients.told([A], {A: standing(is_suspect=True)})
    assert clients.is_suspect(A)
    clients.left(A)
    assert not clients.is_suspect(A)
    clients.told([B], {B: standing()})
    assert clients.before(B) == 0
    clients.clear()
    clients.told([C], {C: standing()})
    assert clients.before(C) == 0


def test_whose_address_means_nothing_is_a_client_by_himself() -> None:
    clients = Clients()
    clients.told([A, B], {})
    assert (clients.before(B), clients.is_suspect(B)) == (0, False)


def test_a_standing_that_is_gone_is_forgotten() -> None:
    clients = Clients()
    clients.told([A], {A: standing(is_suspect=True)})
    clients.told([A], {})
    assert not clients.is_suspect(A)
