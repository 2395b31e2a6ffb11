"""A siege of a real node: who asks for everything and pays for nothing keeps nobody from his channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orders.models import HoldInvoice, NodeSnapshot
from tests.e2e.shop import Shop
from tests.factories import pubkey
from tests.property import records
from tests.simulator.siege import MILLION, Siege

ADDRESSES, PAYMENTS, HONEST = 200, 100, 10
FOR_SALE_SAT = 100 * MILLION


class RealSiege(Siege):
    """The same on a real LND. Time passes in our database alone."""

    def __init__(self, shop: Shop) -> None:
        self.network, self._shop = shop.network, shop

    def pay(self, quote: dict[str, Any]) -> None:
        self._shop.pay(quote)

    def dead_host(self, number: int) -> str:
        return f"{pubkey(5_000 + number)}@127.0.0.1:9"

    def wait(self, seconds: int) -> None:
        records.age(seconds)
        self.turn()


@pytest.fixture
def siege(shop: Shop, settings: Any) -> Iterator[RealSiege]:
    running = RealSiege(shop)
    running.turn()
    settings.ONCHAIN_RESERVE_SAT = NodeSnapshot.objects.get().spendable_sat - FOR_SALE_SAT
    yield running
    for payment_hash in HoldInvoice.objects.values_list("payment_hash", flat=True):
        if str(shop.node.invoice(payment_hash).state) in {"open", "accepted"}:
            shop.node.cancel_invoice(payment_hash)  # the node is not ours alone


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("claimed", [False, True], ids=["unclaimed", "for-dead-hosts"])
def test_found_a1_behind_all_that_two_hundred_addresses_can_hold_the_honest_have_their_channels(
    siege: RealSiege, claimed: bool
) -> None:
    held = siege.hold(ADDRESSES, PAYMENTS, claimed=claimed)
    assert len(held) > PAYMENTS * 0.9
    siege.take_unpaid(ADDRESSES, 1)
    assert [siege.at_once(number) for number in range(HONEST)] == [True] * HONEST
    came_to = [siege.slowly(number) for number in range(HONEST, 2 * HONEST)]
    assert came_to.count("channel") >= 9 and set(came_to) <= {"channel", "back in time"}, came_to
