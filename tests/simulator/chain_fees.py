"""A shop on a simulated node of its own, whose fees and coins a test decides; and what its transactions have cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.test import Client

from lightning import connection
from orders import reconcile
from orders.advance import advance
from orders.models import Service, WalletTransaction
from simulator.world import World
from tests.e2e.shop import Shop
from tests.property import records
from tests.property.inside import InsideNetwork, Loop

#: 10 sat/vbyte: what the simulated node says where nobody says otherwise.
USUAL_SAT_PER_KW = 2_500
RELAY_SAT_PER_KW = 253
HOUR = 3600
OpenShop = Callable[..., "FeeShop"]


class FeeShop(Shop):
    """What a test of fees asks of a shop besides."""

    network: Any

    @property
    def control(self) -> Any:
        return self.network.lsp.control

    def fees(self, sat_per_kw: int) -> None:
        self.control.set_fees(sat_per_kw, RELAY_SAT_PER_KW)

    def paid(self, **body: Any) -> dict[str, Any]:
        """A held payment, unclaimed."""
        quote = self.buy(**body)
        self.control.pay(quote["ln_invoice"], payer="buyer", amount_msat=quote["total_amount"] * 1000)
        reconcile.look(self.node)
        advance(self.order(quote).pk)
        assert self.order(quote).state == "paid", self.story(quote)
        return quote

    def turns(self, *, blocks: int = 0, until_true: Callable[[], bool] = lambda: False) -> None:
        """Blocks come, the engines turn, and no pause is waited for."""
        for _ in range(max(1, blocks)):
            if blocks:
                self.network.mine(1)
            records.hurry()
            self.turn()
            if until_true():
                return

    def opened(self, quote: dict[str, Any]) -> None:
        """The order's channel is open, its funding deep."""
        self.turns(blocks=12, until_true=lambda: "funding_confirmed" in self.journal(quote))
        assert self.order(quote).state == "open", self.story(quote)

    def spent_sat(self, order_id: UUID) -> int:
        """What the chain has of the order: its funding, its conflicts and their children, by the fees they pay."""
        ours = set(WalletTransaction.objects.filter(label__contains=str(order_id)).values_list("txid", flat=True))
        return int(self.network.lsp.look(lambda world: _mined_fees_sat(world, ours)))


def _mined_fees_sat(world: World, ours: set[str]) -> int:
    chain = world.chain
    family = ours | {txid for txid in chain.mined if any(point[0] in ours for point in chain.txs[txid].inputs)}
    children = {txid for txid in family if world.wallet.labels.get(txid) == "sweep"}
    return sum(chain.fee_sat(txid) for txid in (ours | children) if txid in chain.mined)


@contextmanager
def open_shop(loop: Loop, settings: Any, **coins: int) -> Iterator[FeeShop]:
    """The server of this process sells from a node with these coins."""
    records.empty()
    connection._node_of.cache_clear()
    network = InsideNetwork(loop, **coins)
    settings.LND_GRPC, settings.LND_TLS_CERT = network.lsp.grpc_address, str(network.lsp.tls_certificate)
    settings.LND_MACAROON = str(network.lsp.admin_macaroon)
    settings.ONCHAIN_ENABLED, settings.ONCHAIN_CONFIRMATIONS, settings.LND_NETWORK = True, 1, "regtest"
    settings.BUY_RATE = settings.READ_RATE = settings.CLAIM_RATE = "100000/min"
    settings.UNPAID_SHARE_PERCENT, settings.UNPAID_ORDERS_PER_CLIENT = 100, 1000
    if not Service.objects.exists():
        Service.objects.create()
    shop = FeeShop(network, Client())  # type: ignore[arg-type]  # all that it asks of a network
    shop.fees(USUAL_SAT_PER_KW)
    reconcile.look(shop.node)
    try:
        yield shop
    finally:
        connection._node_of.cache_clear()
        network.stop()
