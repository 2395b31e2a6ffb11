"""A hundred peers that ask over Lightning at once, and one more that floods: how long an answer takes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from simulator.control import Control
from tests.bench import processor
from tests.bench.figures import Asking, Peers
from tests.bench.shop import Shop
from tests.bench.timed_node import answered_at
from tests.regtest.waiting import NeverHappened, until

PEERS: Final = 100
METHOD: Final = "lsps1.get_info"
#: A peer may go on asking two times a second.
_PAUSE_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 3.0
_TELLERS: Final = 4


def measure(shop: Shop, control: Control, rounds: int) -> Peers:
    """In each round every peer has asked once, as nearly together as they can be told to, and was answered."""
    with shop.streams(), ThreadPoolExecutor(_TELLERS) as tellers:
        _warm(shop, control)
        idle = _idle(shop)

        def asked(name: str, flood: Sequence[None] = ()) -> Asking:
            floods, begun, before = len(flood), time.time(), shop.processor_seconds()
            seconds: list[float] = []
            for number in range(rounds):
                seconds += _round(shop, control, tellers, f"{name}-{number}")
                time.sleep(_PAUSE_SECONDS)
            lasted = time.time() - begun
            spent = processor.spent(before, shop.processor_seconds())
            busy = {part: max(0.0, spent[part] - idle[part] * lasted) for part in spent}
            return Asking(seconds, busy, len(flood) - floods, lasted)

        alone = asked("alone")
        with _flood(control) as said:
            return Peers(PEERS, alone, asked("flooded", said))


def _idle(shop: Shop) -> dict[str, float]:
    """Processor seconds of each part in a second in which nobody asks."""
    before = shop.processor_seconds()
    time.sleep(_IDLE_SECONDS)
    spent = processor.spent(before, shop.processor_seconds())
    return {part: seconds / _IDLE_SECONDS for part, seconds in spent.items()}


def _round(shop: Shop, control: Control, tellers: ThreadPoolExecutor, name: str) -> Sequence[float]:
    ids = {f"peer-{peer}": f"{name}-{peer}" for peer in range(PEERS)}
    asked = dict(tellers.map(lambda peer: (ids[peer], _ask(control, peer, ids[peer])), ids))

    def answered() -> dict[str, float] | None:
        found = answered_at(shop.streams_log())
        return found if asked.keys() <= found.keys() else None

    answers = until(answered, "all were answered", timeout=60)
    assert answers is not None
    return [answers[each] - at for each, at in asked.items()]


def _ask(control: Control, peer: str, asked_by: str) -> float:
    """When the node was about to be told."""
    request = {"jsonrpc": "2.0", "id": asked_by, "method": METHOD, "params": {}}
    at = time.time()
    control.say_to_node(peer, json.dumps(request).encode())
    return at


def _warm(shop: Shop, control: Control) -> None:
    """The server listens to peers: what was sent before is lost."""

    def heard() -> bool:
        _ask(control, "first", "first")
        try:
            return bool(until(lambda: "first" in answered_at(shop.streams_log()), "it is answered", timeout=1))
        except NeverHappened:
            return False

    until(heard, "peers are answered", timeout=30)


@contextmanager
def _flood(control: Control) -> Iterator[Sequence[None]]:
    """One peer asks as fast as the node takes it; the list grows by one for each message."""
    said: list[None] = []
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            _ask(control, "flood", f"flood-{len(said)}")
            said.append(None)

    flooding = threading.Thread(target=go_on, daemon=True)
    flooding.start()
    try:
        yield said
    finally:
        over.set()
        flooding.join()
