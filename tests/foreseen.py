"""Deposits in no block, beside a Bitcoin node that knows what they pay."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from lightning.types import ChainTransaction, Outpoint, TxOutput
from orders import queries, reconcile
from orders.advance import advance
from orders.models import ChannelOrder, OnchainPayment, Reservation
from tests.bitcoind import Bitcoind
from tests.factories import txid
from tests.scripted import ScriptedNode, mined, unmined

WEIGHT = 600
#: Of the snapshot's estimate, 2,500 sat per 1,000 weight.
ENOUGH_SAT = 1500


class World:
    """Our node, the Bitcoin node beside it, and our engines as they look each minute."""

    def __init__(self, bitcoind: Bitcoind) -> None:
        self.node, self.bitcoind = ScriptedNode(), bitcoind

    def deposit(
        self, order: ChannelOrder, fee_sat: int = ENOUGH_SAT, *, name: str = "deposit", in_mempool: bool = True
    ) -> str:
        """Broadcast, and seen by our node's wallet."""
        made, amount_sat = txid(f"{name} {order.pk}"), order.order_total_sat
        coin = (txid(f"coin {order.pk}"), 0)
        if in_mempool:
            self.bitcoind.mined(*coin, amount_sat + fee_sat)
            self.bitcoind.spend(made, [coin], [amount_sat], weight=WEIGHT)
        self.node.wallet[made] = self.paying(order, unmined(made, inputs=[Outpoint(*coin)]))
        return made

    def mine(self, order: ChannelOrder, made: str) -> None:
        self.bitcoind.mempool.pop(made, None)
        self.node.wallet[made] = self.paying(order, mined(made, confirmations=1, height=800))

    @staticmethod
    def paying(order: ChannelOrder, transaction: ChainTransaction) -> ChainTransaction:
        """It has the output that covers the order."""
        output = TxOutput(0, str(order.deposit_address), order.order_total_sat, True)
        return replace(transaction, at=int(time.time()), outputs=(output,))

    def look(self, order: ChannelOrder) -> str:
        """One pass, and the looks that it nudges; the order's firmness."""
        reconcile.look(self.node)  # type: ignore[arg-type]
        for order_id in queries.due_ids(timezone.now()):
            advance(order_id, node=self.node)  # type: ignore[arg-type]
        return firmness(order)


def firmness(order: ChannelOrder) -> str:
    row = Reservation.objects.get(order=order.pk)
    return "released" if row.released_at else row.firmness


def age(**span: int) -> None:
    """So much time has passed since deposits were asked about."""
    past = timedelta(**span)
    OnchainPayment.objects.update(
        seen_at=F("seen_at") - past,
        ask_at=F("ask_at") - past,
        foreseen_at=F("foreseen_at") - past,
        foreseen_until=F("foreseen_until") - past,
    )
