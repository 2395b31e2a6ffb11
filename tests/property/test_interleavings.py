"""Random interleavings of all that buyers, staff, customers' nodes, the chain, the node and our processes do."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from lightning import reaching
from orders import actors
from orders.models import Service
from orders.openings import committing, opening
from orders.operations import ending
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
