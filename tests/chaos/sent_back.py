"""A life in which money goes back on chain: signed, published, made dearer, mined; while who does it is killed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from django.utils import timezone
from embit import bech32

from orders import queries
from orders.models import ChannelOrder, Refund, WalletTransaction
from orders.states import DepositState, OrderState, RefundState
from simulator import scripts
from tests.chaos.lives import NeverEnded, Sale
from tests.chaos.mortal import STREAMS, WEB, WORKER
from tests.chaos.runs import Run
from tests.property import truths

#: Less than the price, and more than sending it costs.
_MISSING_SAT = 700
_BUMP_HOURS = 7
#: To how many boundaries a process comes in this life: a worker that does all, and a streams process.
BOUNDARIES = {WEB: 9, WORKER: 130, STREAMS: 150}


def address_of(order_id: str) -> str:
    """Where the buyer wants it; none of our node's."""
    return str(bech32.encode("bcrt", 0, sha256(order_id.encode()).digest()[:20]))


def sent_back(sale: Sale) -> None:
    """Too little, so the order expires; the buyer says where to; the first version stays unmined for hours."""
    quote = sale.buy(None)
    short_sat = quote["total_amount"] - _MISSING_SAT
    sale.control.deposit((quote["btc_address"], short_sat))
    order = ChannelOrder.objects.filter(pk=sale.order_id)
    sale.until(order.get().onchain_payments.exists, "the deposit is seen")
    order.update(expires_at=timezone.now())
    sale.until(lambda: sale.state() == OrderState.EXPIRED, "expired", mining=True)
    sale.until(lambda: "refund_due" in sale.journal(), "due", mining=True)
    said = {"order_id": sale.order_id, "order_token": quote["order_token"]}
    body = said | {"refund_onchain_address": address_of(sale.order_id)}
    sale.until(lambda: sale._post("/channel/refund_address", body, {})[0] in {200, 409}, "the address is said")
    refund = Refund.objects.filter(order=sale.order_id).exclude(state=RefundState.WITHDRAWN)
    sale.until(lambda: refund.filter(state=RefundState.PUBLISHED).exists(), "published")
    first = refund.get().transaction_id
    WalletTransaction.objects.filter(kind="refund").update(created_at=timezone.now() - timedelta(hours=_BUMP_HOURS))
    dearer = refund.filter(state=RefundState.PUBLISHED).exclude(transaction=first)
    sale.until(dearer.exists, "a dearer version is published")
    sale.until(refund.filter(state=RefundState.DONE).exists, "back with the buyer", mining=True)
    sale.until(lambda: queries.order_or_raise(order.get().pk).state == OrderState.REFUNDED, "refunded")


@dataclass
class SentBack(Run):
    """A run of this life."""

    def live(self) -> None:
        """The buyer has his money back once, whatever was drawn, and everything is as it must be."""
        print(self.plan)
        try:
            sent_back(self.sale)
            self.processes.kill()
            self.check_sent_back()
        except AssertionError as false:
            kind = NeverEnded if isinstance(false, NeverEnded) else AssertionError
            raise kind(f"{false}\n{self.plan}\n{self.sale.story()}\n{self.processes.log()}") from None

    def check_sent_back(self) -> None:
        """By our rows, and by what the simulated chain has paid him."""
        seen = self.network.lsp.look(truths.facts)
        truths.check_always(seen)
        truths.check_rest(seen, {})
        assert not seen.leased, f"leased: {seen.leased}"
        order = ChannelOrder.objects.get()
        refund = order.refunds.exclude(state=RefundState.WITHDRAWN).get()
        paid = seen.paid.get(scripts.script_of(address_of(str(order.pk))), [])
        assert paid == [refund.sent_sat], f"the buyer was paid {paid}, our row says {refund.sent_sat}"
        came = sum(row.amount_sat for row in order.onchain_payments.filter(state=DepositState.CONFIRMED))
        assert refund.amount_sat == came, f"{came} sat came, {refund.amount_sat} went back"
        versions = WalletTransaction.objects.filter(kind="refund", state__in=["published", "deep", "signed"])
        assert len({str(row.inputs) for row in versions}) == 1, "versions that do not exclude each other"
