"""Deposits are recorded by two at once: by the minute's look, and by what the node tells the streams meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from lightning.node import LndNode
from lightning.types import ChainTransaction, TxOutput
from orders.models import ChannelOrder, OnchainPayment
from orders.payments.onchain.watching import read_deposits
from orders.states import DepositState
from streams import hints
from tests.factories import OrderFactory, SnapshotFactory, txid
from tests.fakes import FakeNode

pytestmark = pytest.mark.django_db(transaction=True)


class Wallet(FakeNode):
    """A node whose wallet has these transactions."""

    def __init__(self) -> None:
        super().__init__()
        self.has: list[ChainTransaction] = []
        self.while_looking: Callable[[], Any] = lambda: None

    def transactions(self, *, from_height: int) -> tuple[ChainTransaction, ...]:
        found = tuple(self.has)
        self.while_looking()
        return found


def look(wallet: Wallet) -> None:
    read_deposits(cast(LndNode, wallet), SnapshotFactory.create())


def deposit_to(order: ChannelOrder) -> ChainTransaction:
    assert order.deposit_address is not None
    output = TxOutput(0, order.deposit_address, order.order_total_sat, ours=True)
    return ChainTransaction(txid("a deposit"), 0, 0, 1_700_000_000, "", b"", (output,), ())


def test_a_deposit_that_the_node_tells_of_during_a_look_does_not_vanish() -> None:
    order, wallet = OrderFactory.create(), Wallet()
    deposit = deposit_to(order)

    def arrive() -> None:
        wallet.has.append(deposit)
        hints.transaction_seen(deposit)

    wallet.while_looking = arrive
    look(wallet)
    assert OnchainPayment.objects.get(order=order).state == DepositState.SEEN


def test_a_deposit_that_the_node_knows_no_more_vanishes_and_comes_back() -> None:
    order, wallet = OrderFactory.create(), Wallet()
    wallet.has = [deposit_to(order)]
    look(wallet)
    wallet.has = []
    look(wallet)
    assert OnchainPayment.objects.get(order=order).state == DepositState.VANISHED
    wallet.has = [deposit_to(order)]
    look(wallet)
    assert OnchainPayment.objects.get(order=order).state == DepositState.SEEN
