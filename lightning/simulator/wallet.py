"""The node's wallet: keys, coins, leases, labels, and what it remembers of its transactions."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lightning.simulator import scripts
from lightning.simulator.chain import DUST_SAT, Chain
from lightning.simulator.refused import Refused
from lightning.simulator.scripts import Output, Point, Tx

_RESERVE_SAT = 10_000
_MOST_RESERVE_SAT = 100_000
_DEFAULT_LEASE_SECONDS = 600
#: Weight units: a transaction without inputs and outputs, an output, an input with its witness.
_FRAME_WEIGHT = 4 * 10 + 2
_OUTPUT_WEIGHT = {22: 4 * 31, 34: 4 * 43}
_INPUT_WEIGHT = {22: 4 * 41 + 109, 34: 4 * 41 + 67}


@dataclass(slots=True)
class Lease:
    """A coin kept for whoever knows the id."""

    lock_id: bytes
    expires_at: int


@dataclass(frozen=True, slots=True)
class Coin:
    """An output of the wallet's."""

    point: Point
    pk_script: bytes
    amount_sat: int


@dataclass(frozen=True, slots=True)
class Funding:
    """An unsigned transaction and what was leased for it."""

    psbt: bytes
    change_index: int
    points: tuple[Point, ...]


@dataclass
class Wallet:
    """Everything here survives a restart."""

    seed: bytes
    keys_used: int = 0
    names: dict[bytes, str] = field(default_factory=dict)  # of the key behind each script
    known: dict[str, int] = field(default_factory=dict)  # transactions, and when they were first seen
    unmined: dict[str, None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    leases: dict[Point, Lease] = field(default_factory=dict)
    children: dict[Point, str] = field(default_factory=dict)  # what bumps the output

    # Keys

    def new_script(self, *, taproot: bool = False) -> bytes:
        """A script nobody has seen yet."""
        name = f"wallet/{self.keys_used}"
        self.keys_used += 1
        private = scripts.key(self.seed, name)
        pk_script = scripts.p2tr(private) if taproot else scripts.p2wpkh(private)
        self.names[pk_script] = name
        return pk_script

    def key_of(self, pk_script: bytes) -> Any:
        """Raises: Refused when the script is not ours."""
        if pk_script not in self.names:
            raise Refused("unable to sign: the input does not belong to the wallet")
        return scripts.key(self.seed, self.names[pk_script])

    # Transactions

    def concerns(self, tx: Tx) -> bool:
        """The transaction pays us or spends what is ours."""
        return any(pk_script in self.names for pk_script, _ in tx.outputs) or any(
            txid in self.known and self._known_output(chain_txs=None, point=(txid, index), tx=tx)
            for txid, index in tx.inputs
        )

    def _known_output(self, *, chain_txs: None, point: Point, tx: Tx) -> bool:
        return point in self.owned

    owned: dict[Point, Output] = field(default_factory=dict)

    def learn(self, tx: Tx, *, at: int) -> bool:
        """Whether the transaction is the wallet's; if so it is remembered."""
        if not self.concerns(tx):
            return False
        self.known.setdefault(tx.txid, at)
        for index, output in enumerate(tx.outputs):
            if output[0] in self.names:
                self.owned[tx.txid, index] = output
        return True

    def forget(self, txid: str) -> None:
        """The wallet has never heard of it."""
        self.known.pop(txid, None)
        self.unmined.pop(txid, None)
        self.labels.pop(txid, None)
        for point in [each for each in self.owned if each[0] == txid]:
            del self.owned[point]
