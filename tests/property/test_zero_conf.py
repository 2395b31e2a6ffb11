"""Random interleavings of a shop whose channels are all usable at once: what comes over one is worth something."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from orders.models import ChannelOpening, ChannelOrder
from orders.states import OpeningState
from simulator.channels import OPEN
from simulator.refused import Refused
from simulator.world import World
from tests.property.inside import Loop
from tests.property.machine import Purchases, which
from tests.property.test_interleavings import OPTIONS, configured

_RECEIVED_SAT = 5_000


class AtOnce(Purchases):
    """As any shop; but every order asks for no confirmations, customers take that, and are paid when they can be."""

    def __init__(self) -> None:
        self.received: set[str] = set()
        super().__init__()
        for customer in self.network.customers.values():
            customer.change(accepts_zero_conf=True)

    def ask_to_buy(self, local_sat: int, remote_sat: int, node: str | None) -> Any:
        answer = super().ask_to_buy(local_sat, remote_sat, node)
        ChannelOrder.objects.filter(required_channel_confirmations=None).update(required_channel_confirmations=0)
        return answer

    @precondition(lambda self: self.quotes)
    @rule(number=which)
    def somebody_pays_the_buyer(self, number: int) -> None:
        memo = self.quote(number)["order_id"]
        points, others = self.network.lsp.look(lambda world: (usable(world, memo), usable(world, "")))
        for point in points:
            try:
                self.control.forward(others[0], point, out_msat=_RECEIVED_SAT * 1000, fee_msat=1000)
            except (Refused, IndexError):
                continue  # the payer's channel is used up, or closed
            self.received.add(point)

    def always(self) -> None:
        """Whoever is committed has to deliver from then on, paid or not."""
        height = self.facts().height
        for opening in ChannelOpening.objects.filter(state=OpeningState.COMMITTED):
            self.committed.setdefault(str(opening.order_id), height)
        super().always()

    def come_to_rest(self) -> None:
        super().come_to_rest()
        mined = self.network.lsp.look(lambda world: set(world.chain.mined))
        for point in self.received:
            assert point.partition(":")[0] in mined, f"what was received over {point} is worth nothing"


def usable(world: World, memo: str) -> list[str]:
    """The channels with this memo over which something can be received."""
    found = [each for each in world.channels.alive() if each.stage == OPEN and each.memo == memo]
    return [f"{each.point[0]}:{each.point[1]}" for each in found if world.is_active(each)]


@pytest.fixture
def machine(loop: Loop, transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> type[AtOnce]:
    return configured(AtOnce, loop, settings, monkeypatch)


@pytest.mark.long
def test_no_interleaving_takes_from_a_buyer_what_he_has_received(machine: type[AtOnce]) -> None:
    options = settings(max_examples=20, stateful_step_count=30, derandomize=True, **OPTIONS)
    run_state_machine_as_test(machine, settings=options)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", range(4))
def test_no_interleaving_of_very_many_takes_from_a_buyer_what_he_has_received(
    machine: type[AtOnce], batch: int
) -> None:
    """Others at each run; what fails is shrunk and printed with what repeats it."""
    options = settings(max_examples=25, stateful_step_count=50, **OPTIONS)
    run_state_machine_as_test(machine, settings=options)
