"""Random interleavings of all that buyers, staff, customers' nodes, the chain, the node and our processes do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from lightning import reaching
from orders import actors
from orders.models import Service
from orders.openings import committing, following, opening
from orders.operations import ending
from orders.states import OrderState
from simulator.channels import LOCAL_FORCE
from tests.property.inside import Loop
from tests.property.machine import Purchases

OPTIONS: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
    "database": None,
}


class QuickClock:
    """What is waited for inside one process of ours is waited for in a moment."""

    def __init__(self) -> None:
        self._ticks = itertools.count()

    def monotonic(self) -> float:
        return float(next(self._ticks))

    def sleep(self, seconds: float) -> None:
        pass


@pytest.fixture
def machine(loop: Loop, transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> type[Purchases]:
    """The machine, for the settings of a shop; where it is depends on the example."""
    return configured(Purchases, loop, settings, monkeypatch)


def configured(kind: type[Purchases], loop: Loop, settings: Any, monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    settings.ONCHAIN_ENABLED, settings.ONCHAIN_CONFIRMATIONS, settings.LND_NETWORK = True, 3, "regtest"
    settings.BUY_RATE = settings.READ_RATE = settings.CLAIM_RATE = "100000/min"
    settings.UNPAID_SHARE_PERCENT = 100
    clock = QuickClock()
    monkeypatch.setattr(reaching, "monotonic", clock.monotonic)
    monkeypatch.setattr(reaching, "sleep", clock.sleep)
    monkeypatch.setattr(opening, "NEGOTIATE_SECONDS", 1)
    monkeypatch.setattr(committing, "PENDING_SECONDS", 1)
    if not Service.objects.exists():
        Service.objects.create()

    class Configured(kind):  # type: ignore[valid-type, misc]
        def configure(self) -> None:
            lsp = self.network.lsp
            settings.LND_GRPC = lsp.grpc_address
            settings.LND_TLS_CERT, settings.LND_MACAROON = str(lsp.tls_certificate), str(lsp.admin_macaroon)

    Configured.loop = loop
    return Configured


def test_a_deposit_of_an_order_that_staff_cancel_is_flagged(machine: type[Purchases]) -> None:
    """Shrunk from an interleaving; a deposit this deep is not read again, so no later look tells either."""
    example = machine()
    try:
        example.buy(300_000, 0, None, "none")
        example.deposit(0, -900, False)
        for _ in range(8):
            example.engines_turn_as_blocks_come(1)
        order_id = example.shop.order(example.quote(0)).pk
        ending.cancel(order_id, actor=actors.staff("ada"))
        example.engines_turn_as_blocks_come(3)
        order = example.shop.order(example.quote(0))
    finally:
        example.network.stop()
    assert (order.state, order.underpaid) == ("expired", True)
    assert order.needs_staff


@pytest.fixture
def closed_by_force(machine: type[Purchases]) -> Iterator[Purchases]:
    """An open channel, which our node closes by force: its own money is free after more blocks than all else needs."""
    example = machine()
    try:
        example.buy(300_000, 0, "buyer", "lightning")
        example.engines_turn_as_blocks_come(8)
        [(_, point)] = example.facts().channels[example.quote(0)["order_id"]]
        example.control.close_channel(point, LOCAL_FORCE)
        yield example
    finally:
        example.network.stop()


def test_what_our_node_closes_by_force_comes_to_rest(closed_by_force: Purchases) -> None:
    """Else every example in which a payment runs out on its way would count as an order that hangs."""
    closed_by_force.come_to_rest()
    assert closed_by_force.shop.order(closed_by_force.quote(0)).state == OrderState.CLOSED


def test_control_an_order_that_stays_closing_when_its_channel_is_gone_never_rests(
    closed_by_force: Purchases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_record_closed", lambda *_: None)
    with pytest.raises(AssertionError, match="never rests: closing"):
        closed_by_force.come_to_rest()


def test_no_interleaving_costs_anybody_money(machine: type[Purchases]) -> None:
    options = settings(max_examples=6, stateful_step_count=25, derandomize=True, **OPTIONS)
    run_state_machine_as_test(machine, settings=options)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", range(10))
def test_no_interleaving_of_very_many_costs_anybody_money(machine: type[Purchases], batch: int) -> None:
    """Others at each run; what fails is shrunk and printed with what repeats it."""
    options = settings(max_examples=25, stateful_step_count=50, **OPTIONS)
    run_state_machine_as_test(machine, settings=options)
