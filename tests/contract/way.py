"""A payer, our node and somebody who asks to be paid over it; and our process, which LND asks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

from lightning.node import LndNode
from lightning.types import Channel, Htlc, Outpoint
from streams.apart import Apart
from streams.forwarding import Line
from streams.undecided import Undecided
from tests.contract.conftest import Opening, credentials
from tests.regtest.payment import NeverLeft
from tests.regtest.waiting import until
from tests.simulator.network import SimulatedNetwork

AMOUNT_SAT = 20_000
CAPACITY_SAT = 300_000
DELTA = 100


@dataclass
class Way:
    """A payer with a channel to our node, and somebody who asks to be paid over it."""

    network: Any
    lsp: Any
    payer: Any
    client: Any
    scids: Iterator[int]

    @property
    def node(self) -> LndNode:
        return LndNode(credentials(self.lsp))

    def new_scid(self) -> int:
        return next(self.scids)

    def ask(self, scid: int, *, amount_sat: int = AMOUNT_SAT) -> str:
        return str(self.client.ask(self.lsp, amount_sat, scid=scid, cltv_blocks=DELTA))

    def pay(self, scid: int, **options: Any) -> Any:
        """A payment that has left: one of lnd's may fail at first, as balances are settled after each before."""
        asked = self.ask(scid, **options)
        return until(lambda: self._left(asked), "the payment leaves", timeout=60, pause=0.3)

    def _left(self, asked: str) -> Any:
        self.payer.forget_failures()
        payment = self.payer.pay(asked)
        with suppress(NeverLeft):
            payment.wait_locked()
            return payment
        return None

    def channel_in(self) -> Channel:
        [channel] = self.node.channels_with(self.payer.pubkey)
        return channel

    def opened(self, memo: str) -> Channel:
        """A channel to the client that is usable, and published nowhere."""
        opening = Opening(
            self.node, self.client, memo=memo, zero_conf=True, free=True, capacity_sat=CAPACITY_SAT, push_sat=0
        )
        with self.client.accepting_zero_conf():
            outpoint, _ = opening.pending()
            until(lambda: outpoint in {each.outpoint for each in self.node.channels() if each.active}, "it is active")
        return self.channel(outpoint)

    def carried(self) -> list[Htlc]:
        """What is on its way to the client: LND takes any channel with it."""
        return [htlc for each in self.node.channels_with(self.client.pubkey) for htlc in each.htlcs]

    def channel(self, outpoint: Outpoint) -> Channel:
        return next(each for each in self.node.channels() if each.outpoint == outpoint)

    def payer_connects_anew(self) -> None:
        """And LND has asked about what is in its channel."""
        if isinstance(self.network, SimulatedNetwork):
            self.payer.kill()
            self.payer.start()
            return
        self.payer.disconnect(self.lsp)
        until(lambda: not self.channel_in().active, "its channel is down")
        self.payer.connect(self.lsp)
        until(lambda: self.channel_in().active, "its channel is up")
        time.sleep(1)

    def client_gives_back(self) -> None:
        """What it holds."""
        if isinstance(self.network, SimulatedNetwork):
            self.client.change(takes="fails")
        else:
            self.client.give_back_held()


class Nobody:
    """Has promised nothing."""

    def is_ours(self, scid: int) -> bool:
        return False

    def ended(self) -> None:
        pass


@contextmanager
def listening(way: Way) -> Iterator[Line]:
    """As our process does, of a shop that has sold nothing."""
    undecided = Undecided(cast("Any", Nobody()))
    line = Line(lambda: Apart(lambda: credentials(way.lsp)), undecided)
    line.start()
    try:
        until(lambda: line.is_up, "the node asks", timeout=20)
        yield line
    finally:
        line.stop()
        undecided._threads.shutdown()
