"""Who acts: what the journal has of it, and who may do what."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from lightning.types import NodeAddress
from orders import actors, flags, keys, recovering
from orders.actors import BUYER, LSP, Authority, Kind
from orders.causes import Cause
from orders.errors import NotAllowed, WrongToken
from orders.models import SwitchName
from orders.operations import claiming, ending, giving_up, noting, pausing
from tests.factories import pubkey

PERSONS = {Kind.STAFF, Kind.COMMAND}
#: Every operation on an order or a switch, how it is called, and who may.
OPERATIONS: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], set[Kind]]] = [
    (claiming.claim, (uuid4(), NodeAddress(pubkey(5))), {"announced": None},
     {Kind.BUYER, Kind.TOKEN, Kind.NODE, Kind.COMMAND}),
    (claiming.unclaim, (uuid4(),), {}, {Kind.BUYER, Kind.TOKEN, Kind.NODE}),
    (ending.cancel, (uuid4(),), {}, PERSONS),
    (ending.record_returned, (uuid4(),), {}, PERSONS),
    (ending.revive, (uuid4(),), {}, PERSONS),
    (giving_up.give_up, (uuid4(),), {"reason": "X"}, {*PERSONS, Kind.SERVER}),
    (giving_up.retry, (uuid4(),), {}, PERSONS),
    (flags.mark_seen, (uuid4(),), {}, PERSONS),
    (pausing.pause, (SwitchName.SALES,), {"reason": "x"}, {*PERSONS, Kind.SERVER}),
    (pausing.resume, (SwitchName.SALES,), {}, PERSONS),
    (pausing.pause_behind, (SwitchName.SALES,), {"reason": "x", "named": ()}, {Kind.SERVER}),
    (pausing.resume_behind, (SwitchName.SALES,), {}, {Kind.COMMAND}),
    (noting.write, (uuid4(), "He called."), {}, PERSONS),
    (noting.moved, (None, "aa" * 32, 5_000), {"cause": Cause.PAYMENT_RETURNED}, {Kind.COMMAND}),
    (recovering.adopt, ((), None), {}, {Kind.COMMAND}),
    (recovering.return_payments, ((), None), {}, {Kind.COMMAND}),
    (recovering.settle_payments, ((), None), {}, {Kind.COMMAND}),
    (recovering.resume, (), {}, {Kind.COMMAND}),
]  # fmt: skip


def somebody(kind: Kind) -> Authority:
    return Authority(kind, pubkey(5) if kind is Kind.NODE else "")


@pytest.mark.parametrize(
    ("actor", "written"),
    [
        (LSP, "lsp"), (BUYER, "buyer"), (Authority(Kind.TOKEN), "buyer:token"),
        (actors.node(pubkey(5)), f"node:{pubkey(5)}"),
        (actors.staff("alice"), "staff:alice"),
        (actors.staff("alice", role="support, night"), "staff:alice (support, night)"),
        (actors.command("root"), "command:root"),
    ],
)  # fmt: skip
def test_the_journal_has_a_text_for_each(actor: Authority, written: str) -> None:
    assert str(actor) == written


def test_the_longest_name_and_role_fit_the_journal() -> None:
    assert len(str(actors.staff("n" * 150, role="r" * 150))) == 200


def test_the_token_proves_who_bought_and_a_wrong_one_is_no_id_either() -> None:
    order_id = uuid4()
    assert actors.buyer(order_id) == actors.buyer(order_id, "") == BUYER
    assert actors.buyer(order_id, keys.order_token(order_id)).kind is Kind.TOKEN
    with pytest.raises(WrongToken) as refused:
        actors.buyer(order_id, "wrong")
    assert "wrong" not in refused.value.message


@pytest.mark.parametrize(
    ("operation", "given", "named", "may"), OPERATIONS, ids=[o[0].__qualname__ for o in OPERATIONS]
)
def test_an_operation_is_refused_to_who_may_not(
    operation: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any], may: set[Kind]
) -> None:
    """Before anything is looked at: no database is here to be asked."""
    assert operation.open_to == may  # type: ignore[attr-defined]
    for kind in set(Kind) - may:
        with pytest.raises(NotAllowed):
            operation(*given, **named, actor=somebody(kind))


@pytest.mark.parametrize(
    ("operation", "given", "named", "may"), OPERATIONS, ids=[o[0].__qualname__ for o in OPERATIONS]
)
def test_nobody_is_the_server_by_saying_nothing(
    operation: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any], may: set[Kind]
) -> None:
    assert inspect.signature(operation).parameters["actor"].default is inspect.Parameter.empty
    with pytest.raises(TypeError):
        operation(*given, **named)
    with pytest.raises(TypeError):
        operation(*given, **named, actor="staff:ada")


@pytest.mark.parametrize("room", [claiming, ending, giving_up, noting, pausing, recovering])
def test_no_operation_is_missing_from_the_table(room: ModuleType) -> None:
    public = {name: value for name, value in vars(room).items() if inspect.isfunction(value) and name[0] != "_"}
    of_it = [value for value in public.values() if value.__module__ == room.__name__]
    told = {value for value in of_it if "actor" in inspect.signature(value).parameters}
    assert told == {operation for operation, *_ in OPERATIONS if operation.__module__ == room.__name__}
