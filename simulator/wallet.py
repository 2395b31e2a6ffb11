"""The node's wallet: keys, coins, leases, labels, and what it remembers of its transactions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator import scripts
from simulator.chain import DUST_SAT, Chain
from simulator.refused import Refused
from simulator.scripts import Output, Point, Tx

_RESERVE_SAT = 10_000
_MOST_RESERVE_SAT = 100_000
_CANNOT_FUND = "wallet couldn't fund PSBT: error creating funding TX"
_DEFAULT_LEASE_SECONDS = 600
#: Weight units: a transaction without inputs and outputs, an output, an input with its witness.
_FRAME_WEIGHT = 4 * 10 + 2
_OUTPUT_WEIGHT = {22: 4 * 31, 34: 4 * 43}
_INPUT_WEIGHT = {22: 4 * 41 + 109, 23: 4 * 64 + 109, 34: 4 * 41 + 67}
#: How the names of keys begin that only the operator has: the wallet watches what they can spend.
_WATCHED = "watched/"
#: The accounts of our keys and of imported ones, as LND calls them.
_OWN, _IMPORTED = "default", "imported"


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
    mined: dict[str, tuple[int, str]] = field(default_factory=dict)  # the block it thinks it is in: height and hash
    unmined: dict[str, None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    owned: dict[Point, Output] = field(default_factory=dict)  # also what is spent by now
    leases: dict[Point, Lease] = field(default_factory=dict)
    children: dict[Point, str] = field(default_factory=dict)  # what bumps the output

    # Keys

    def new_script(self, make: Callable[[Any], bytes] = scripts.p2wpkh, *, watched: bool = False) -> bytes:
        """A script nobody has seen yet, made of a key; `watched`: of an imported one, which the wallet has not."""
        name = f"{_WATCHED if watched else 'wallet/'}{self.keys_used}"
        self.keys_used += 1
        pk_script = make(scripts.key(self.seed, name))
        self.names[pk_script] = name
        return pk_script

    def key_of(self, pk_script: bytes) -> Any:
        """Raises: Refused when the script is not ours to spend."""
        if self.account(pk_script) != _OWN:
            raise Refused("unable to sign: the input does not belong to the wallet")
        return scripts.key(self.seed, self.names[pk_script])

    def account(self, pk_script: bytes) -> str:
        """The account that the script belongs to; "": it is a stranger's."""
        name = self.names.get(pk_script, "")
        return name and (_IMPORTED if name.startswith(_WATCHED) else _OWN)

    # Transactions

    def learn(self, tx: Tx, *, at: int) -> bool:
        """Whether the transaction is the wallet's; if so it is remembered."""
        ours = {index: output for index, output in enumerate(tx.outputs) if output[0] in self.names}
        if not ours and not any(point in self.owned for point in tx.inputs):
            return False
        self.known.setdefault(tx.txid, at)
        self.owned |= {(tx.txid, index): output for index, output in ours.items()}
        return True

    def forget(self, txid: str) -> None:
        """The wallet has never heard of it."""
        for remembered in (self.known, self.mined, self.unmined, self.labels):
            remembered.pop(txid, None)  # type: ignore[attr-defined]
        for point in [each for each in self.owned if each[0] == txid]:
            del self.owned[point]

    def depth(self, txid: str, chain: Chain) -> int:
        """Confirmations, as the wallet believes."""
        return chain.height - self.mined[txid][0] + 1 if txid in self.mined else 0

    def rivals_of(self, tx: Tx, chain: Chain) -> list[str]:
        """The unmined transactions that `tx` excludes, and what spends those."""
        gone = [each for each in self.unmined if each != tx.txid and set(chain.txs[each].inputs) & set(tx.inputs)]
        for parent in gone:
            gone += [each for each in self.unmined if any(point[0] == parent for point in chain.txs[each].inputs)]
        return gone

    # Coins

    def coins(self, chain: Chain, *, min_confirmations: int, now: float, account: str = _OWN) -> list[Coin]:
        """The account's coins (of all, where it is "") that are not leased, the biggest first."""
        leased = set(self.active_leases(now))
        found = [
            Coin(point, *output)
            for point, output in self.unspent(chain)
            if point not in leased
            and account in ("", self.account(output[0]))
            and self.depth(point[0], chain) >= min_confirmations
        ]
        return sorted(found, key=lambda coin: (-coin.amount_sat, coin.point))

    def unspent(self, chain: Chain) -> Iterator[tuple[Point, Output]]:
        """The outputs that nothing spends, neither a block nor a transaction of ours that waits."""
        taken = {point for txid in self.unmined for point in chain.txs[txid].inputs}
        for point, output in self.owned.items():
            if point not in taken and point not in chain.spenders:
                yield point, output

    def required_reserve_sat(self, public_channels: int) -> int:
        """What has to stay for bumping the closings of so many announced channels."""
        return min(_RESERVE_SAT * public_channels, _MOST_RESERVE_SAT)

    # Leases

    def active_leases(self, now: float) -> dict[Point, Lease]:
        """The leases that have not run out."""
        return {point: lease for point, lease in self.leases.items() if lease.expires_at > now}

    def lease(self, point: Point, lock_id: bytes, seconds: int, *, chain: Chain, now: float) -> int:
        """The coin is leased until the moment that is answered. Raises: Refused."""
        if point not in self.owned or point in chain.spenders:
            raise Refused("unknown output")
        held = self.active_leases(now).get(point)
        if held and held.lock_id != lock_id:
            raise Refused("output already locked")
        expires_at = int(now) + (seconds or _DEFAULT_LEASE_SECONDS)
        self.leases[point] = Lease(lock_id, expires_at)
        return expires_at

    def release(self, point: Point, lock_id: bytes, *, now: float) -> None:
        """The coin is free; not leased is fine. Raises: Refused."""
        if point not in self.owned:
            raise Refused("unknown output")
        held = self.active_leases(now).get(point)
        if held and held.lock_id != lock_id:
            raise Refused("output unlock not alowed")  # so it is spelled
        self.leases.pop(point, None)

    # Spending

    def fund(
        self,
        outputs: list[Output],
        *,
        sat_per_kw: int,
        coins: Sequence[Coin],
        named: Sequence[Point] = (),
    ) -> Funding:
        """An unsigned transaction for the outputs, however dear, of these coins: all that are named, or enough of them.

        Nothing is leased yet. Raises: Refused.
        """
        total_sat = sum(amount_sat for _, amount_sat in outputs)
        weight = _FRAME_WEIGHT + sum(_OUTPUT_WEIGHT.get(len(pk_script), 4 * 43) for pk_script, _ in outputs)
        chosen: list[Coin] = []
        left_sat = -total_sat - _fee_sat(weight, sat_per_kw)
        for coin in _these(coins, named) if named else coins:
            if chosen and left_sat >= 0 and not named:
                break
            chosen.append(coin)
            left_sat += coin.amount_sat - _fee_sat(_INPUT_WEIGHT[len(coin.pk_script)], sat_per_kw)
        if left_sat < 0 or not chosen:
            raise Refused(f"{_CANNOT_FUND}: insufficient funds available to construct transaction")
        change_sat = left_sat - _fee_sat(_OUTPUT_WEIGHT[34], sat_per_kw)
        change_index, outputs = self._with_change(outputs, change_sat)
        points = tuple(coin.point for coin in chosen)
        unsigned = scripts.build(points, outputs)
        psbt = scripts.make_psbt(unsigned, [(coin.pk_script, coin.amount_sat) for coin in chosen])
        return Funding(psbt, change_index, points)

    def _with_change(self, outputs: list[Output], change_sat: int) -> tuple[int, list[Output]]:
        """The outputs and, where it is worth one, the change, sometimes before and sometimes after them."""
        if change_sat < DUST_SAT[34]:
            return -1, outputs
        change = (self.new_script(scripts.p2tr), change_sat)
        if hashlib.sha256(change[0]).digest()[0] % 2:
            return 0, [change, *outputs]
        return len(outputs), [*outputs, change]

    def sign(self, psbt: bytes) -> tuple[bytes, bytes]:
        """The PSBT with its signatures, and the transaction. Raises: Refused."""
        try:
            unsigned, spent = scripts.open_psbt(psbt)
        except ValueError as error:
            raise Refused(f"error parsing PSBT: {error}") from error
        raw = scripts.sign(unsigned, spent, self.key_of)
        return scripts.finish_psbt(psbt, raw), raw

    def child(self, point: Point, fee_sat: int, chain: Chain) -> Tx:
        """A transaction that spends the output back to us for this fee. Raises: Refused when too little is left."""
        pk_script, amount_sat = self.owned[point]
        if amount_sat - fee_sat < DUST_SAT[22]:
            raise Refused("the output is too small for that fee")
        unsigned = scripts.build(
            [point], [(self.new_script(), amount_sat - fee_sat)], sequence=scripts.REPLACEABLE_SEQUENCE
        )
        return scripts.read(scripts.sign(unsigned, [(pk_script, amount_sat)], self.key_of))


def _these(coins: Sequence[Coin], named: Sequence[Point]) -> list[Coin]:
    """The coins of these points. Raises: Refused where one is not among them."""
    by_point = {coin.point: coin for coin in coins}
    for number, point in enumerate(named):
        if point not in by_point:
            raise Refused(f"input {number} not found in list of non-locked UTXO")
    return [by_point[point] for point in named]


def _fee_sat(weight: int, sat_per_kw: int) -> int:
    return -(-weight * sat_per_kw // 1000)
