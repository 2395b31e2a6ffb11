"""Which coins become which others: planned, and nothing more. Pure.

Coins that open orders need are left alone, and those are the biggest: the node takes the biggest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lightning.types import Utxo
from orders.models import TransactionKind
from orders.wallet import choosing, shape
from orders.wallet.budget import MOST_VBYTES

#: Weight units: a transaction of ours without inputs and outputs, generously; an output to ourselves.
_FRAME_WEIGHT: Final = 4 * 16 + 2
_OUTPUT_WEIGHT: Final = 4 * 31
#: Change that is smaller is left to the fee: as a coin it would only be in the way.
_LEAST_CHANGE_SAT: Final = 1_000
#: So many coins are plenty, and their count still fits into a byte.
MOST_OUTPUTS: Final = 250


class NoPlan(Exception):
    """It cannot be done, or there is nothing to do; the message is for staff."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A transaction to ourselves."""

    kind: TransactionKind
    inputs: tuple[Utxo, ...]
    outputs_sat: tuple[int, ...]
    fee_sat: int


@dataclass(frozen=True, slots=True)
class Means:
    """What a plan may use: deep native coins, what of them is promised, and what it may cost."""

    coins: Sequence[Utxo]
    promised_sat: int
    sat_per_kw: int
    most_fee_sat: int

    def fee_sat(self, inputs: int, outputs: int) -> int:
        """Of a transaction of this size."""
        return shape.fee_sat(_weight(inputs, outputs), self.sat_per_kw)

    @property
    def spare(self) -> list[Utxo]:
        """The coins that no open order needs now, the biggest first."""
        coins = sorted(self.coins, key=lambda coin: (-coin.amount_sat, coin.outpoint))
        if not self.promised_sat:
            return coins
        needed = shape.draft(
            (coin.amount_sat for coin in coins), wanted_sat=self.promised_sat, sat_per_kw=self.sat_per_kw
        )
        return coins[needed.inputs :] if needed else []


def split(means: Means, *, count: int, each_sat: int | None, at_most_sat: int) -> Plan:
    """So many coins of `each_sat`; where that is not said, as large as they can be, `at_most_sat` at most.

    Raises: NoPlan.
    """
    if not 2 <= count <= MOST_OUTPUTS:
        raise NoPlan(f"From 2 to {MOST_OUTPUTS} coins can be made at a time.")
    spare = means.spare
    if each_sat is None:
        left_sat = choosing.total_sat(spare) - means.fee_sat(len(spare), count)
        each_sat = min(at_most_sat, left_sat // count)
    if each_sat < _LEAST_CHANGE_SAT:
        raise NoPlan(_too_little(means, spare))
    for used in range(1, len(spare) + 1):
        over_sat = choosing.total_sat(spare[:used]) - count * each_sat
        if over_sat >= means.fee_sat(used, count):
            return _checked(means, _plan(TransactionKind.SPLIT, means, spare[:used], [each_sat] * count))
    raise NoPlan(_too_little(means, spare))


def consolidation(means: Means, *, smaller_than_sat: int) -> Plan:
    """The small coins that are worth more than it costs to spend them become one: as many as the fee's limit allows.

    Raises: NoPlan.
    """
    worth_sat = shape.fee_sat(shape.INPUT_WEIGHT, means.sat_per_kw)
    small = [coin for coin in reversed(means.spare) if worth_sat < coin.amount_sat < smaller_than_sat]
    while len(small) > 1 and not _is_bearable(means, len(small)):
        small.pop()
    total_sat = choosing.total_sat(small)
    if len(small) < 2 or total_sat - means.fee_sat(len(small), 1) < _LEAST_CHANGE_SAT:
        raise NoPlan(f"There are no two spare coins of less than {smaller_than_sat:,} sat that are worth their fee.")
    fee_sat = means.fee_sat(len(small), 1)
    return Plan(TransactionKind.CONSOLIDATION, tuple(small), (total_sat - fee_sat,), fee_sat)


def _is_bearable(means: Means, inputs: int) -> bool:
    return means.fee_sat(inputs, 1) <= means.most_fee_sat and _weight(inputs, 1) <= 4 * MOST_VBYTES


def _plan(kind: TransactionKind, means: Means, inputs: Sequence[Utxo], outputs_sat: Sequence[int]) -> Plan:
    """With change, where it is worth one."""
    left_sat = choosing.total_sat(inputs) - sum(outputs_sat)
    change_sat = left_sat - means.fee_sat(len(inputs), len(outputs_sat) + 1)
    if change_sat >= _LEAST_CHANGE_SAT:
        outputs_sat, left_sat = [*outputs_sat, change_sat], left_sat - change_sat
    return Plan(kind, tuple(inputs), tuple(outputs_sat), left_sat)


def _checked(means: Means, plan: Plan) -> Plan:
    if plan.fee_sat > means.most_fee_sat:
        raise NoPlan(f"It would cost {plan.fee_sat:,} sat; MAX_FUNDING_FEE_SAT is {means.most_fee_sat:,}.")
    if _weight(len(plan.inputs), len(plan.outputs_sat)) > 4 * MOST_VBYTES:
        raise NoPlan(f"With {len(plan.inputs):,} coins it would be too big to relay.")
    return plan


def _too_little(means: Means, spare: Iterable[Utxo]) -> str:
    needed = f"; open orders need {means.promised_sat:,} sat" if means.promised_sat else ""
    return f"Only {choosing.total_sat(spare):,} sat are spare in deep coins{needed}."


def _weight(inputs: int, outputs: int) -> int:
    return _FRAME_WEIGHT + inputs * shape.INPUT_WEIGHT + outputs * _OUTPUT_WEIGHT
