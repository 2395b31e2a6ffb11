"""Who hears of others' payments in a machine: one step at a time, so that an example repeats."""

from __future__ import annotations

from threading import Thread

from lightning.errors import NodeUnavailable
from lightning.node import LndNode
from lightning.parts import Answer, Circuit, Intercepted
from orders.jit import gathering, saying
from simulator.world import World
from tests.property.inside import InsideNetwork
from tests.regtest.waiting import until

_SECONDS = 10


class Ears:
    """As the streams process does it: a part is heard, decided, and told. What waits is in memory only."""

    def __init__(self, network: InsideNetwork, node: LndNode) -> None:
        self._network, self._node = network, node
        self._stream = node.intercept()
        self._has_ended = False
        self._heard: list[Intercepted] = []
        self._decided = 0
        self._waiting: set[Circuit] = set()
        Thread(target=self._read, name="ears", daemon=True).start()
        until(lambda: self._has_ended or network.lsp.look(_is_asking), "the node asks", timeout=_SECONDS)

    def _read(self) -> None:
        try:
            for part in self._stream:
                self._heard.append(part)
        except NodeUnavailable:
            self._has_ended = True

    @property
    def is_open(self) -> bool:
        """The node asks by this stream."""
        return not self._has_ended

    def hear(self, *, answers: bool = True) -> None:
        """What has come is decided, as far as it can be. Not `answers`: and nobody says so."""
        self._until_heard()
        while self._decided < len(self._heard):
            part = self._heard[self._decided]
            self._decided += 1
            if part.is_on_chain:
                gathering.lose(part)
                continue
            answer = gathering.hear(part)
            if not answers:
                saying.first(part.circuit)
            elif answer is not None:
                self._say({part.circuit: answer})
            else:
                self._waiting.add(part.circuit)
        self._until_taken()

    def _say(self, decided: dict[Circuit, Answer]) -> None:
        """What nobody has heard is told; what the last who heard may have died of as well, where nothing has moved."""
        channels = self._node.channels() if decided else []
        for circuit, answer in decided.items():
            self._waiting.discard(circuit)
            if not answer.goes_on or saying.first(circuit) or saying.again(circuit, channels):
                self._stream.answer(circuit, answer)
        saying.done(decided)

    def tell(self) -> None:
        """What was decided meanwhile the node is told."""
        gathering.end_waiting()
        self._say(gathering.answers(self._waiting))
        self._until_taken()

    def block_came(self, height: int) -> None:
        """The node has failed what it held for too long."""
        self._stream.block_came(height)

    def close(self) -> None:
        """As when the process ends: the node will ask anew."""
        self._stream.close()
        until(lambda: not self._network.lsp.look(_is_asking), "the node asks nobody", timeout=_SECONDS)

    def _until_heard(self) -> None:
        """All that the node has asked of this stream is here."""
        until(lambda: self._has_ended or self._held() <= self._undecided(), "all was heard", timeout=_SECONDS)

    def _until_taken(self) -> None:
        """The node has taken every answer."""
        until(lambda: self._has_ended or not self._held() - self._undecided(), "it was told", timeout=_SECONDS)

    def _held(self) -> set[Circuit]:
        return self._network.lsp.look(lambda world: {Circuit(*circuit) for circuit in world.passing.held})

    def _undecided(self) -> set[Circuit]:
        return set(self._stream._held._fails_at) | {part.circuit for part in self._heard if part.is_on_chain}


def _is_asking(world: World) -> bool:
    return world.passing.asking is not None
