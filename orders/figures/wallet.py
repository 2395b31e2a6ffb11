"""What there is to sell, who holds it, what lies in the wallet, and what goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Count, Sum

from orders import queries
from orders.figures import kinds
from orders.figures.asking import rows, words
from orders.figures.tally import summed
from orders.models import NodeSnapshot, Reservation
from orders.states import Firmness, OrderState, RefundState

#: A coin is counted with those that are at least so large, and smaller than the next.
SIZES_SAT: Final = (0, 100_000, 1_000_000, 5_000_000, 20_000_000, 100_000_000)

_SOLD: Final = (OrderState.OPENING, OrderState.OPEN, OrderState.CLOSING)


@dataclass(frozen=True, slots=True)
class Reserved:
    """What is reserved as firmly as this."""

    firmness: Firmness
    orders: int
    value_sat: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """Our coins and channels. What is counted from the node's coins is None where we never saw it."""

    #: In channels that stand, both sides.
    sold_sat: int
    #: Of our coins, what can be sold at all; what is promised; what nobody has to give way for; what can be bought.
    total_sat: int | None
    promised_sat: int | None
    free_sat: int | None
    available_sat: int | None
    reserved: tuple[Reserved, ...]


@dataclass(frozen=True, slots=True)
class CoinSum:
    """So many coins, and what they are worth."""

    coins: int
    sat: int


@dataclass(frozen=True, slots=True)
class Coins:
    """The wallet as it was last seen."""

    at: datetime
    #: Deep enough to fund channels: all of them, and by size (at least so many satoshis). The smallest of very many
    #: are in neither but by their sum.
    deep: CoinSum
    by_size: tuple[tuple[int, CoinSum], ...]
    #: What funds no channel now, and why: leased, young, nested, foreign.
    aside: tuple[tuple[str, CoinSum], ...]


@dataclass(frozen=True, slots=True)
class RefundSum:
    """Refunds that stand alike: proposed, due, under way (signed, or published), done, kept or withdrawn."""

    stands: str
    refunds: int
    amount_sat: int
    #: What sending them costs, or has cost.
    fee_sat: int


_UNDER_WAY: Final = (RefundState.SIGNED, RefundState.PUBLISHED)
#: In the order of the states, those that are alike once.
REFUNDS: Final = tuple(dict.fromkeys("under_way" if state in _UNDER_WAY else state.value for state in RefundState))
ASIDE: Final = ("leased", "young", "nested", "foreign")

_SOLD_SAT: Final = """
SELECT coalesce(sum(lsp_balance_sat + client_balance_sat), 0)::bigint FROM orders_channelorder
WHERE state = ANY(%(states)s)
"""


def capacity(seen: NodeSnapshot | None) -> Capacity:
    """Sold, promised, free; and what is reserved, by how firmly."""
    [(sold_sat,)] = rows(_SOLD_SAT, states=words(_SOLD))
    live = Reservation.objects.filter(released_at=None, gives_way_at=None).order_by()
    found = {
        firmness: (orders, sat)
        for firmness, orders, sat in live.values_list("firmness").annotate(Count("pk"), Sum("value_sat"))
    }
    reserved = tuple(Reserved(firmness, *found.get(firmness, (0, 0))) for firmness in Firmness)
    if seen is None:
        return Capacity(sold_sat, None, None, None, None, reserved)
    stock = queries.stock(seen)
    free_sat = max(0, stock.room_sat)
    return Capacity(sold_sat, stock.total_sat, stock.promised_sat, free_sat, stock.available_sat, reserved)


def coins(seen: NodeSnapshot) -> Coins:
    """Asks nobody: the snapshot has it all."""
    aside = {why: CoinSum(*found) for why, found in seen.coins_aside.items() if why in ASIDE}
    return Coins(
        seen.at,
        CoinSum(len(seen.shape), seen.spendable_sat),
        _by_size(seen.shape),
        tuple((why, aside.get(why, CoinSum(0, 0))) for why in ASIDE),
    )


def _by_size(coins_sat: Sequence[int]) -> tuple[tuple[int, CoinSum], ...]:
    sized = []
    for least, below in zip(SIZES_SAT, (*SIZES_SAT[1:], None), strict=True):
        within = [sat for sat in coins_sat if sat >= least and (below is None or sat < below)]
        sized.append((least, CoinSum(len(within), sum(within))))
    return tuple(sized)


def refunds() -> list[RefundSum]:
    """Every way that a refund stands, with how many do and their sum."""
    found = {stands: [0, 0, 0] for stands in REFUNDS}
    for _, (state,), sums in summed(kinds.REFUNDS):
        stands = "under_way" if state in _UNDER_WAY else state
        found[stands] = [one + other for one, other in zip(found[stands], sums, strict=True)]
    return [RefundSum(stands, *sums) for stands, sums in found.items()]
