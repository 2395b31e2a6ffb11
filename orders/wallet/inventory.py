"""What lies in the wallet: what funds channels, and what does not, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings

from lightning.node import LndNode
from lightning.types import Utxo
from orders.wallet import choosing


class Aside(StrEnum):
    """Why a coin funds no channel now."""

    LEASED = "leased"  # for a transaction that is under way
    YOUNG = "young"  # not as deep as we ask of it
    NESTED = "nested"  # what spends it has no final id before it is signed
    FOREIGN = "foreign"  # imported: we have no key of it


@dataclass(frozen=True, slots=True)
class Inventory:
    """The wallet's coins."""

    deep: tuple[Utxo, ...]
    #: How many, and how much they are worth.
    aside: dict[Aside, tuple[int, int]]


def take(node: LndNode) -> Inventory:
    """Every coin, by what it is good for. Raises: NodeUnavailable."""
    own = node.coins(min_confirmations=0)
    native = choosing.native(own)
    deep = [coin for coin in native if coin.confirmations >= settings.FUNDING_MIN_CONFS]
    young = [coin for coin in native if coin.confirmations < settings.FUNDING_MIN_CONFS]
    aside = {
        Aside.LEASED: [lease.amount_sat for lease in node.leases()],
        Aside.YOUNG: [coin.amount_sat for coin in young],
        Aside.NESTED: [coin.amount_sat for coin in own if coin.is_nested],
        Aside.FOREIGN: [coin.amount_sat for coin in node.foreign_coins(own)],
    }
    return Inventory(tuple(deep), {why: (len(found), sum(found)) for why, found in aside.items() if found})
