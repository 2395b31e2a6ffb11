"""The tables: complete, closed, and with the published numbers."""

from __future__ import annotations

from orders.states import (
    INVOICE_MOVES,
    LIVE_OPENINGS,
    MOVES,
    OPENING_MOVES,
    ORDER_STATE_NUMBERS,
    InvoiceState,
    OpeningState,
    OrderState,
)


def test_every_state_has_its_moves() -> None:
    assert set(MOVES) == set(OrderState)
    assert set(INVOICE_MOVES) == set(InvoiceState)
    assert set(OPENING_MOVES) == set(OpeningState)


def test_terminal_states_stay() -> None:
    assert {state for state, targets in MOVES.items() if not targets} == {OrderState.CLOSED, OrderState.REFUNDED}
    assert not INVOICE_MOVES[InvoiceState.SETTLED] and not INVOICE_MOVES[InvoiceState.CANCELLED]
    assert {state for state in OpeningState if not OPENING_MOVES[state]} == set(OpeningState) - LIVE_OPENINGS


def test_every_state_can_be_reached_from_a_new_order() -> None:
    reached, waiting = set(), {OrderState.CREATED}
    while waiting:
        state = waiting.pop()
        reached.add(state)
        waiting |= set(MOVES[state]) - reached
    assert reached == set(OrderState)


def test_nothing_reaches_a_channel_without_a_payment() -> None:
    """Every way from CREATED to OPENING passes PAID."""
    reached, waiting = set(), {OrderState.CREATED}
    while waiting:
        state = waiting.pop()
        reached.add(state)
        waiting |= set(MOVES[state]) - reached - {OrderState.PAID}
    assert OrderState.OPENING not in reached and OrderState.URI_SET not in reached


def test_the_published_numbers_do_not_change() -> None:
    assert {state.name: state.number for state in OrderState} == ORDER_STATE_NUMBERS
    assert [OrderState[name].number for name in ("CREATED", "PAID", "URI_SET", "OPENING", "GIVE_UP", "OPEN")] == [
        0, 100, 200, 300, 400, 500,
    ]  # fmt: skip
    assert OrderState.REJECTED.number == OrderState.CLOSED.number == 450
    assert OrderState.REJECTED != OrderState.CLOSED
