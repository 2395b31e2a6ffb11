"""The server on an lnd of its own, buyers' nodes, blocks that come by themselves, and deaths."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.regtest.lnd import Lnd
from tests.regtest.network import BUYER, LSP, Network
from tests.served import ROOT, Served
from tests.soak import deaths
from tests.soak.paying import OneByOne

BLOCK_SECONDS: Final = 2.0
#: Nodes that get channels; the buyer alone pays.
WALLETS: Final = ("wallet-1", "wallet-2", "wallet-3")
COINS, COIN_SAT = 60, 20_000_000
#: Windows so short that every fate ends within minutes.
SETTINGS: Final = {
    "ORDER_LIFETIME_SECONDS": "60",
    "CLAIM_WINDOW_SECONDS": "120",
    "CLAIM_WINDOW_ONCHAIN_SECONDS": "60",
    "OPEN_WINDOW_SECONDS": "240",
    "GIVE_UP_GRACE_SECONDS": "10",
    "GIVE_UP_GRACE_ONCHAIN_SECONDS": "10",
    "RETRY_FIRST_SECONDS": "2",
    "RETRY_MAX_SECONDS": "20",
    "ONCHAIN_CONFIRMATIONS": "1",
    **dict.fromkeys(("BUY_RATE", "READ_RATE", "CLAIM_RATE"), "100000/min"),
}


class World:
    """All of it runs from `__enter__` to `__exit__`."""

    def __init__(self, seed: int) -> None:
        self.network = Network([LSP, BUYER, *WALLETS])
        self.buyer = OneByOne(self.network.buyer)
        self.server = Served(Path(tempfile.mkdtemp(prefix="lsp-soak-")), self.network.lsp, **SETTINGS)
        self.killed: Counter[str] = Counter()
        self._rng = random.Random(seed)
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[World]:
        try:
            with self.network:
                self.network.fund(self.network.lsp, COIN_SAT, COINS, depth=6)
                self.server.start()
                yield self
        finally:
            self.server.stop()

    @property
    def wallets(self) -> list[Lnd]:
        return [self.network[name] for name in WALLETS]

    def send(self, address: str, amount_sat: int) -> str:
        """Somebody pays on chain; the transaction's id."""
        with self._lock:
            return self.network.chain.send(address, amount_sat)

    # What happens meanwhile

    @contextmanager
    def blocks(self) -> Iterator[None]:
        """They come."""
        with _meanwhile(self._mine, lambda: BLOCK_SECONDS):
            yield

    def _mine(self) -> None:
        with self._lock:
            self.network.chain.mine(1)

    @contextmanager
    def deaths(self, every_seconds: float) -> Iterator[None]:
        """One process after the other is killed; most are the server's, now and then it is the node."""
        with _meanwhile(self._kill, lambda: self._rng.expovariate(1 / every_seconds)):
            yield

    def _kill(self) -> None:
        role = self._rng.choices([*deaths.ROLES, LSP], weights=[3, 3, 3, 1])[0]
        if role == LSP:
            self.network.lsp.kill()
            self.network.lsp.start(wait=False)
            with suppress(TimeoutError):
                self.network.lsp.wait_ready()
        elif not deaths.kill_one(self.server.pid, role, self._rng):
            return
        self.killed[role] += 1

    # The end

    def keep_logs(self) -> Path:
        """Copies of what the server and both ends of the buyer's channel have said, in a folder that outlives them."""
        kept = Path(tempfile.mkdtemp(prefix="lsp-soak-logs-"))
        (kept / "server.log").write_text(self.server.log())
        for node in (self.network.lsp, self.network.buyer):
            (kept / f"{node.name}.log").write_text(node.log.read_text(errors="replace"))
        return kept

    def manage(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command beside the server, as an operator gives it."""
        words = ["/usr/bin/env", "-i", *self.server.environment(), sys.executable, str(ROOT / "manage.py"), *command]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)


@contextmanager
def _meanwhile(does: Callable[[], None], pause: Callable[[], float]) -> Iterator[None]:
    """`does` is done again and again in a thread, `pause` seconds apart."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(pause()):
            does()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=120)
