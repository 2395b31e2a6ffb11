"""Each RPC that changes something answers OK, an error or nothing, and has acted or has not: the order ends right.

One purchase for each call of each way through an order and each trouble, on the simulated node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from orders import actors, marks
from orders.models import ChannelOrder, HoldInvoice, Preflight, Service
from orders.openings import committing, opening
from orders.operations import ending
from orders.states import InvoiceState, OrderState
from tests.chaos.ending import see_through
from tests.chaos.test_kills import assert_whole
from tests.chaos.test_losses import advance_until
from tests.chaos.wire import Trouble, Wire
from tests.e2e.shop import Shop
from tests.regtest.payment import FAILED
from tests.simulator.network import SimulatedNetwork

Quote = dict[str, Any]

#: Their OK carries what we asked for, so it cannot be said without having acted.
_OK_HAS_CONTENT = frozenset({"AddHoldInvoice", "NewAddress", "OpenChannel", "FundPsbt", "FinalizePsbt"})


@dataclass
class Sale:
    """One purchase: the server, the wire to its node, the customer's node."""

    shop: Shop
    wire: Wire
    peer: Any
    settings: Any

    def buy(self) -> Quote:
        """As a buyer does: after a 503, of which nothing is left, once more."""
        body = {"local_balance": 500_000, "remote_balance": 0, "channel_expiry": 4, "node_uri": self.peer.p2p_address}
        for _ in range(2):
            answer = self.shop.client.post("/channel/buy", body, content_type="application/json")
            if answer.status_code == 200:
                return dict(answer.json())
            assert answer.status_code == 503, answer.content
            assert not ChannelOrder.objects.exists() and not HoldInvoice.objects.exists()
        raise AssertionError(answer.content)

    def advance_until(self, quote: Quote, cause: str) -> None:
        advance_until(self.shop, quote, lambda: cause in self.shop.journal(quote), cause)


def delivered(sale: Sale) -> None:
    """Nothing else goes wrong."""
    quote = sale.buy()
    payment = sale.shop.pay(quote)
    see_through(sale.shop, quote)
    assert_whole(sale.shop, quote, payment, sale.peer)


def paid_on_chain(sale: Sale) -> None:
    """The invoice that nobody paid is cancelled."""
    quote = sale.buy()
    sale.shop.network.chain.send(quote["btc_address"], quote["total_amount"])
    sale.shop.network.mine(1)
    see_through(sale.shop, quote)
    sale.shop.assert_delivered(quote, sale.peer)
    advance_until(sale.shop, quote, lambda: "invoice_cancelled" in sale.shop.journal(quote), "no invoice")
    assert sale.shop.node.invoice(sale.shop.order(quote).hold_invoice.payment_hash).state == "canceled"
    assert_no_lease(sale.shop, quote)


def cancelled_then_delivered(sale: Sale) -> None:
    """The first attempt falls silent after the peer has signed, and is taken up too late."""
    quote, payment = cancelled(sale)
    see_through(sale.shop, quote)
    assert_whole(sale.shop, quote, payment, sale.peer)
    assert "opening_failed" in sale.shop.journal(quote)


def cancelled_then_refunded(sale: Sale) -> None:
    """The same, and then staff cancel the order."""
    quote, payment = cancelled(sale)
    sale.advance_until(quote, "opening_failed")
    ending.cancel(sale.shop.order(quote).pk, actor=actors.staff("ada"))
    advance_until(sale.shop, quote, lambda: sale.shop.order(quote).state == OrderState.REFUNDED, "refunded")
    assert payment.wait() == FAILED
    assert sale.shop.order(quote).hold_invoice.state == InvoiceState.CANCELLED
    sale.shop.assert_nothing_left(quote)
    assert not [t for t in sale.shop.network.lsp.transactions() if quote["order_id"] in t.label]
    assert not sale.peer.channels()


def cancelled(sale: Sale) -> tuple[Quote, Any]:
    sale.wire.plan("FundingStateStep", 1, Trouble.NOTHING_DONE)
    sale.settings.FRESH_ATTEMPT_SECONDS = 0
    quote = sale.buy()
    return quote, sale.shop.pay(quote)


def put_out_then_delivered(sale: Sale) -> None:
    """The node refuses the signed funding for longer than we wait."""
    sale.wire.plan("PublishTransaction", 1, Trouble.ERROR_NOT_DONE)
    sale.settings.PUBLISH_PATIENCE_SECONDS = 0
    quote = sale.buy()
    payment = sale.shop.pay(quote)
    see_through(sale.shop, quote)
    assert_whole(sale.shop, quote, payment, sale.peer)
    assert "funding_put_out" in sale.shop.journal(quote)


def put_out_at_last_then_delivered(sale: Sale) -> None:
    """It refuses twice, since putting the funding out goes wrong at first."""
    sale.wire.plan("PublishTransaction", 2, Trouble.ERROR_NOT_DONE)
    put_out_then_delivered(sale)


def refused_then_delivered(sale: Sale) -> None:
    """No patience with what goes wrong at publishing, whatever it is."""
    sale.settings.PUBLISH_PATIENCE_SECONDS = 0
    delivered(sale)


Way = Callable[[Sale], None]

#: The calls of each way, as (method, which of them); those that an earlier way has are not said again.
CALLS: dict[Way, list[tuple[str, int]]] = {
    delivered: [
        ("AddHoldInvoice", 1), ("NewAddress", 1), ("ConnectPeer", 1), ("OpenChannel", 1), ("FundPsbt", 1),
        ("FundingStateStep", 1), ("FinalizePsbt", 1), ("LeaseOutput", 1), ("LeaseOutput", 2),
        ("PublishTransaction", 1), ("SettleInvoice", 1), ("LeaseOutput", 3),
    ],
    paid_on_chain: [("CancelInvoice", 1)],
    cancelled_then_delivered: [
        ("FundingStateStep", 2), ("DisconnectPeer", 1), ("AbandonChannel", 1), ("ConnectPeer", 2), ("ReleaseOutput", 1),
    ],
    cancelled_then_refunded: [
        ("FundingStateStep", 2), ("DisconnectPeer", 1), ("AbandonChannel", 1), ("ReleaseOutput", 1),
        ("CancelInvoice", 1),
    ],
    put_out_then_delivered: [
        ("LeaseOutput", 3), ("PublishTransaction", 2), ("ReleaseOutput", 1),
    ],
    put_out_at_last_then_delivered: [("NewAddress", 2), ("FinalizePsbt", 2)],
    refused_then_delivered: [("PublishTransaction", 1)],
}  # fmt: skip

#: In every run of the tests: two ways, where what is answered is not what was done. The other ways, and the calls that
#: do nothing and say so or fall silent, take minutes and are marked long.
_SHORT = {
    delivered: {Trouble.OK_NOT_DONE, Trouble.NOTHING_DONE, Trouble.ERROR_DONE},
    cancelled_then_refunded: {Trouble.OK_NOT_DONE, Trouble.NOTHING_DONE},
}


def _cases() -> Iterator[Any]:
    for way, calls in CALLS.items():
        for method, nth in calls:
            for trouble in Trouble:
                if trouble is Trouble.OK_NOT_DONE and method in _OK_HAS_CONTENT:
                    continue
                marks = [] if trouble in _SHORT.get(way, ()) else [pytest.mark.long]
                yield pytest.param(
                    way, method, nth, trouble, marks=marks, id=f"{way.__name__}-{method}-{nth}-{trouble.name}"
                )


@pytest.fixture
def network(simulated_network: SimulatedNetwork) -> SimulatedNetwork:
    return simulated_network


@pytest.fixture
def sale(shop: Shop, network: SimulatedNetwork, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Sale]:
    monkeypatch.setattr(opening, "NEGOTIATE_SECONDS", 0.3)  # for answers that never come
    monkeypatch.setattr(committing, "PENDING_SECONDS", 0.3)
    monkeypatch.setattr(opening, "CONNECT_SECONDS", 2)
    Service.objects.update(preflight=Preflight.OFF)  # whoever looks whether the node is there has connected it already
    control = network.lsp.control
    yield Sale(shop, Wire(control, monkeypatch), network.add_peer(), settings)
    control.end_faults()


@pytest.mark.parametrize(("way", "method", "nth", "trouble"), list(_cases()))
def test_an_order_ends_right_whatever_one_call_answers_and_does(
    sale: Sale, way: Way, method: str, nth: int, trouble: Trouble
) -> None:
    sale.wire.plan(method, nth, trouble)
    way(sale)
    assert sale.wire.unmet == []


@pytest.mark.parametrize("way", list(CALLS), ids=lambda way: way.__name__)
def test_every_changing_call_of_an_order_is_among_those_that_go_wrong(sale: Sale, way: Way) -> None:
    way(sale)
    tried = {method for calls in CALLS.values() for method, _ in calls}
    assert set(sale.wire.made) <= tried


def assert_no_lease(shop: Shop, quote: Quote) -> None:
    lock_id = marks.lock_id(shop.order(quote).pk)
    assert not [lease for lease in shop.node.leases() if lease.lock_id == lock_id]
