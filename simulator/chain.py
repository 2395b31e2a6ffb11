"""A small chain: blocks without work, a mempool with the rules that decide about us, and a faucet."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator import scripts
from simulator.refused import Refused
from simulator.scripts import Output, Point, Tx

#: Satoshis per 1,000 weight units: one per virtual byte, rounded up.
FLOOR_SAT_PER_KW = 253
DUST_SAT = {22: 294, 34: 330}
_COINBASE = ("00" * 32, 0xFFFFFFFF)
_FAUCET_COINS = 200
_FAUCET_COIN_SAT = 20 * 10**8
_FAUCET_FEE_SAT = 2_000
_FIRST_HEIGHT = 100


@dataclass(slots=True)
class Block:
    """One block; the reward, which pays nobody, would be the first of its transactions."""

    hash: str
    height: int
    at: int
    txids: list[str]


@dataclass
class Chain:
    """What is mined and what waits."""

    seed: bytes
    blocks: list[Block] = field(default_factory=list)
    txs: dict[str, Tx] = field(default_factory=dict)
    mined: dict[str, int] = field(default_factory=dict)  # the heights
    spenders: dict[Point, str] = field(default_factory=dict)  # of what is spent in a block
    mempool: dict[str, None] = field(default_factory=dict)  # parents first
    floor_sat_per_kw: int = FLOOR_SAT_PER_KW
    estimate_sat_per_kw: int = 10 * FLOOR_SAT_PER_KW
    faucet: list[tuple[Point, int]] = field(default_factory=list)

    # Looking

    @property
    def tip(self) -> Block:
        """The best block."""
        return self.blocks[-1]

    @property
    def height(self) -> int:
        """Of the best block."""
        return self.tip.height

    def block_at(self, height: int) -> Block:
        """The block of the best chain at this height."""
        return self.blocks[height - self.blocks[0].height]

    def depth(self, txid: str) -> int:
        """Confirmations; 0: not mined."""
        return self.height - self.mined[txid] + 1 if txid in self.mined else 0

    def place(self, txid: str) -> int:
        """Its index in its block, after the reward."""
        return 1 + self.block_at(self.mined[txid]).txids.index(txid)

    def pool_spender(self, point: Point) -> str | None:
        """What spends the output in the mempool."""
        return next((txid for txid in self.mempool if point in self.txs[txid].inputs), None)

    def output(self, point: Point) -> Output | None:
        """The output, mined or in the mempool, spent or not."""
        txid, index = point
        if txid not in self.mined and txid not in self.mempool:
            return None
        outputs = self.txs[txid].outputs
        return outputs[index] if index < len(outputs) else None

    # Waiting

    def accept(self, tx: Tx) -> list[str]:
        """The transaction is in the mempool or in a block; the ids of what it has replaced. Repeat: safe.

        Raises: Refused in the words of btcd, as LND passes them on.
        """
        if tx.txid in self.mempool or self._is_mined_and_unspent(tx):
            return []
        spent = [self._spendable(point) for point in tx.inputs]
        rivals = {rival for point in tx.inputs if (rival := self.pool_spender(point))}
        fee_sat = sum(amount_sat for _, amount_sat in spent) - tx.paid_out_sat
        if fee_sat + 1 < self.least_fee_sat(tx.vbytes):
            raise Refused("insufficient fee")
        if any(amount_sat < DUST_SAT.get(len(pk_script), 546) for pk_script, amount_sat in tx.outputs):
            raise Refused("dust")
        if rivals:
            self._require_better(rivals, fee_sat)
        if wrong := scripts.is_signed(tx, spent):
            raise Refused(f"undefined: {wrong}")
        gone = [each for rival in rivals for each in self.evict(rival)]
        self.txs[tx.txid] = tx
        self.mempool[tx.txid] = None
        return gone

    def _is_mined_and_unspent(self, tx: Tx) -> bool:
        points = ((tx.txid, index) for index in range(len(tx.outputs)))
        return tx.txid in self.mined and any(point not in self.spenders for point in points)

    def _spendable(self, point: Point) -> Output:
        if point in self.spenders:
            raise Refused("transaction rejected: output already spent")
        output = self.output(point)
        if output is None:
            raise Refused("transaction rejected: output already spent")  # so LND calls what btcd calls an orphan
        return output

    def _require_better(self, rivals: Iterable[str], fee_sat: int) -> None:
        if not all(self.txs[rival].is_replaceable for rival in rivals):
            raise Refused("transaction rejected: output already spent")
        if fee_sat <= sum(self.fee_sat(rival) for rival in rivals):
            raise Refused("insufficient fee")

    def least_fee_sat(self, vbytes: int) -> int:
        """What the mempool asks of a transaction of this size."""
        return vbytes * 4 * self.floor_sat_per_kw // 1000

    def fee_sat(self, txid: str) -> int:
        """What the transaction pays the miner."""
        brought = (self.output(point) for point in self.txs[txid].inputs)
        return sum(output[1] for output in brought if output) - self.txs[txid].paid_out_sat

    def evict(self, txid: str) -> list[str]:
        """The transaction and all that spends it have left the mempool; their ids."""
        gone = [txid]
        for parent in gone:
            self.mempool.pop(parent, None)
            gone += [each for each in self.mempool if any(point[0] == parent for point in self.txs[each].inputs)]
        return list(dict.fromkeys(gone))

    # Mining

    def mine(self, txids: Sequence[str] | None = None) -> Block:
        """One block more: with these transactions, or with the whole mempool. What they exclude has left it."""
        chosen = list(self.mempool) if txids is None else list(txids)
        before = self.blocks[-1] if self.blocks else None
        height = before.height + 1 if before else _FIRST_HEIGHT
        at = max(int(time.time()), before.at if before else 0)
        content = f"{before.hash if before else ''}{height}{at}{chosen}".encode()
        block = Block(hashlib.sha256(content).hexdigest(), height, at, chosen)
        self.blocks.append(block)
        for txid in chosen:
            self.mempool.pop(txid, None)
            self.mined[txid] = height
            for point in self.txs[txid].inputs:
                self.spenders[point] = txid
                if rival := self.pool_spender(point):
                    self.evict(rival)
        return block

    def unmine(self) -> Block:
        """The best block is none any more; its transactions are nowhere until somebody puts them somewhere."""
        block = self.blocks.pop()
        for txid in block.txids:
            del self.mined[txid]
            for point in self.txs[txid].inputs:
                self.spenders.pop(point, None)
        return block

    def add_unchecked(self, raw: bytes) -> str:
        """The transaction can be mined although the mempool may not want it; its id. Raises: ValueError."""
        tx = scripts.read(raw)
        self.txs[tx.txid] = tx
        return tx.txid

    # The faucet

    def begin(self) -> None:
        """The first blocks, and coins for the faucet."""
        own = scripts.p2wpkh(self._faucet_key())
        unsigned = scripts.build([_COINBASE], [(own, _FAUCET_COIN_SAT)] * _FAUCET_COINS)
        txid = self.add_unchecked(bytes(unsigned.serialize()))
        self.mine([txid])
        self.faucet = [((txid, index), _FAUCET_COIN_SAT) for index in range(_FAUCET_COINS)]
        for _ in range(6):
            self.mine([])

    def pay(self, outputs: Sequence[Output], *, sequence: int = scripts.FINAL_SEQUENCE) -> str:
        """A stranger's transaction with these outputs is in the mempool; its id. Raises: Refused."""
        fee_sat = max(_FAUCET_FEE_SAT, self.least_fee_sat(150 + 43 * len(outputs)))
        total_sat = sum(amount_sat for _, amount_sat in outputs) + fee_sat
        coin = next((each for each in self.faucet if each[1] > total_sat + 1000 and self._is_free(each[0])), None)
        if coin is None:
            raise Refused("the faucet has no coin that is big enough")
        change = (scripts.p2wpkh(self._faucet_key()), coin[1] - total_sat)
        tx = scripts.read(self._spend([coin], [*outputs, change], sequence))
        self.accept(tx)
        self.faucet.remove(coin)
        self.faucet.append(((tx.txid, len(outputs)), change[1]))
        return tx.txid

    def rival(self, txid: str, outputs: Sequence[Output] = (), *, more_sat: int = 2_000) -> bytes:
        """A stranger's transaction that takes what `txid` spends, for a higher fee; without outputs, back to himself.

        Raises: Refused when it is none of the faucet's.
        """
        spent = self.txs[txid].inputs
        own = scripts.p2wpkh(self._faucet_key())
        found = [self.output(point) for point in spent]
        if any(output is None or output[0] != own for output in found):
            raise Refused("not a transaction of the faucet")
        coins = [(point, output[1]) for point, output in zip(spent, found, strict=True) if output]
        left_sat = sum(amount_sat for _, amount_sat in coins) - self.fee_sat(txid) - more_sat
        left_sat -= sum(amount_sat for _, amount_sat in outputs)
        return self._spend(coins, [*outputs, (own, left_sat)], scripts.REPLACEABLE_SEQUENCE)

    def _spend(self, coins: Sequence[tuple[Point, int]], outputs: Sequence[Output], sequence: int) -> bytes:
        private = self._faucet_key()
        unsigned = scripts.build([point for point, _ in coins], outputs, sequence)
        spent = [(scripts.p2wpkh(private), amount_sat) for _, amount_sat in coins]
        return scripts.sign(unsigned, spent, lambda _: private)

    def _is_free(self, point: Point) -> bool:
        return self.output(point) is not None and point not in self.spenders and self.pool_spender(point) is None

    def _faucet_key(self) -> Any:
        return scripts.key(self.seed, "faucet")
