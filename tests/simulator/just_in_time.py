"""A shop that sells channels just in time: its payer, its wallet, and who tells the node what becomes of parts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import connection
from django.utils import timezone

from lightning.errors import NodeUnavailable
from lightning.interception import Interception
from lightning.parts import Circuit
from orders import queries
from orders.advance import advance
from orders.jit import ability, selling
from orders.jit.selling import Wanted
from orders.models import ChannelOrder, Heartbeat, JitPart, JitPurchase, OrderEvent, Service
from orders.models.order import Door
from streams.promised import Promised
from tests.e2e.shop import Shop
from tests.regtest.waiting import NeverHappened, until
from tests.simulator.network import SimulatedNode

SIZE_SAT = 200_000


@dataclass
class JustInTime:
    """What a wallet and its payer do, and what our engines do meanwhile."""

    shop: Shop
    payer: Any
    wallet: Any
    promised: Promised = field(default_factory=Promised)
    stream: Interception | None = None

    def __post_init__(self) -> None:
        self._lost_before_msat = self._lost_msat()

    def _lost_msat(self) -> int:
        """A real node does not say."""
        lsp = self.shop.network.lsp
        return int(lsp.control.parts().lost_msat) if isinstance(lsp, SimulatedNode) else 0

    def lost_msat(self) -> int:
        """What was paid out, and went back to its payer, since the test began: other tests may have lost something."""
        return self._lost_msat() - self._lost_before_msat

    def heard(self) -> int:
        """So many parts our node has passed on, or tried to."""
        ours = {part.circuit for part in JitPart.objects.all()}
        parts = self.shop.network.lsp.control.parts().parts
        return sum(Circuit(part.channel, part.htlc) in ours and bool(part.out or part.back) for part in parts)

    def buy(self, size_sat: int | None = SIZE_SAT, wallet: Any = None) -> JitPurchase:
        peer = (wallet or self.wallet).pubkey
        offer = selling.menu(peer)[0]
        size_msat = None if size_sat is None else size_sat * 1000
        return selling.buy(Wanted(peer, offer.parameters, offer.promise, size_msat))

    def ask(self, purchase: JitPurchase, amount_sat: int = SIZE_SAT, wallet: Any = None) -> str:
        """The wallet's invoice, with the way over what it has bought."""
        lsp = self.shop.network.lsp
        delta = purchase.cltv_expiry_delta
        return str((wallet or self.wallet).ask(lsp, amount_sat, scid=purchase.number, cltv_blocks=delta))

    def pay(self, purchase: JitPurchase, amount_sat: int = SIZE_SAT, **options: Any) -> Any:
        return self.payer.pay(self.ask(purchase, amount_sat), **options)

    def order(self) -> ChannelOrder:
        """The newest."""
        row = ChannelOrder.objects.filter(door=Door.LSPS2).order_by("created_at").last()
        if row is None:
            raise LookupError("no part has come yet")
        return queries.order_or_raise(row.pk)

    def run(self, there: Callable[[], bool], what: str = "it is so", timeout: float = 30) -> None:
        """The engines turn until it is."""

        def turned() -> bool:
            for order_id in queries.due_ids(timezone.now()):
                advance(order_id)
            try:
                return there()
            except LookupError:
                return False

        try:
            until(turned, what, timeout=timeout)
        except NeverHappened as never:
            raise AssertionError(f"{never}\n{self.story()}") from None

    def story(self) -> str:
        events = [f"{e.order_id} {e.from_state}->{e.to_state} {e.cause} {e.facts}" for e in OrderEvent.objects.all()]
        parts = [f"{p} {p.decision or '?'} {p.fee_msat} {p.reason}" for p in JitPart.objects.all()]
        return "\n".join([*events, *parts])

    def journal(self) -> list[str]:
        return list(self.order().events.order_by("version").values_list("cause", flat=True))

    def channels(self) -> list[Any]:
        return list(self.shop.node.channels_with(self.wallet.pubkey))

    # Who hears of parts

    @contextmanager
    def listening(self) -> Iterator[None]:
        """The node asks, and is answered."""
        stream = self.stream = self.shop.node.intercept()
        thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        thread.start()
        threading.Event().wait(0.1)
        self.shop.node.info()  # what is paid from here on comes after it, over the same line
        yield
        stream.close()
        thread.join(10)
        self.promised.forget()

    def _read(self, stream: Interception) -> None:
        try:
            with suppress(NodeUnavailable):
                for part in stream:
                    self.promised.decide(part, partial(stream.answer, part.circuit))
        finally:
            self.promised.ended()
            connection.close()


def sell(**changes: Any) -> Service:
    """The shop sells channels just in time."""
    Heartbeat.objects.update_or_create(name=ability.FORWARDING, defaults={"at": timezone.now()})
    Service.objects.update(sells_jit=True, **changes)
    return Service.objects.get()
