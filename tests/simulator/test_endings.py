"""However suddenly the simulator ends, what it has answered it still knows, and it starts."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import pytest

from lightning.errors import LightningError
from lightning.node import LndNode
from lightning.types import NodeInvoiceState
from simulator import files
from simulator.control import Refused
from tests.contract.conftest import Secret, credentials

ROUNDS = 3


class Customer:
    """Buys as fast as it can, and remembers what it was told."""

    def __init__(self, own: Any) -> None:
        self.own, self.node = own, LndNode(credentials(own))
        self.held: list[Secret] = []
        self.settled: list[Secret] = []
        self.deposits: list[str] = []
        self.thread = threading.Thread(target=self.buy)

    def buy(self) -> None:
        try:
            while True:
                secret = Secret()
                opened = self.node.add_hold_invoice(
                    payment_hash=secret.payment_hash, amount_sat=1_000, memo="", expiry_seconds=600, cltv_blocks=144
                )
                self.own.control.pay(opened.payment_request)
                self.held.append(secret)
                self.deposits.append(self.own.control.deposit((self.node.new_address(), 10_000)))
                self.own.control.mine()
                self.node.settle_invoice(secret.preimage)
                self.settled.append(secret)
        except (LightningError, Refused, ValueError):
            pass  # it has been killed (and gRPC calls a channel that is closed a wrong value)

    def check(self, node: LndNode) -> None:
        states = {secret.payment_hash: node.invoice(secret.payment_hash).state for secret in self.held}
        assert {states[secret.payment_hash] for secret in self.settled} == {NodeInvoiceState.SETTLED}
        assert set(states.values()) <= {NodeInvoiceState.ACCEPTED, NodeInvoiceState.SETTLED}
        assert set(self.deposits) <= {each.txid for each in node.transactions(from_height=0)}


def test_what_was_answered_outlives_a_kill_at_any_moment(add_own) -> None:
    own = add_own(funded_sat=1_000_000)
    moments = random.Random(7)
    for _ in range(ROUNDS):
        customer = Customer(own)
        customer.thread.start()
        time.sleep(0.4 + moments.random() * 0.2)
        own.kill()
        customer.thread.join(20)
        own.start()
        assert customer.settled
        customer.check(LndNode(credentials(own)))


def test_a_file_is_the_old_one_until_it_is_the_new_one(tmp_path, monkeypatch) -> None:
    path = tmp_path / "state"
    files.write(path, b"old")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        files.write(path, b"new")
    assert path.read_bytes() == b"old"
    monkeypatch.undo()
    files.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["state"]
