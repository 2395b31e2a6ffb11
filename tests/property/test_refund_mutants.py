"""Each guard of money that goes back is taken out in turn: the random interleavings must find what it costs."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace

import pytest

from lightning.node import LndNode
from orders import actors, money
from orders.api import views
from orders.models import ChannelOrder, OnchainPayment, Refund
from orders.models.order import Rail
from orders.payments import onchain
from orders.payments.onchain import due, late, refunding, sending
from orders.states import At, OrderState, RefundState
from orders.wallet import coins
from tests.property.refunds import Refunds
from tests.property.test_interleavings import machine
from tests.property.test_mutants import Mutant, look_for
from tests.property.test_refund_interleavings import refunding_machine

__all__ = ["machine", "refunding_machine"]

MOST_EXAMPLES = 60


def forget_what_went_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(due, "_refunded_sat", lambda order, besides: 0)


def count_deposits_in_no_block(patch: pytest.MonkeyPatch) -> None:
    def came_sat(order: ChannelOrder) -> int:
        return sum(row.received_sat(At.SEEN, height=0, depth=0) for row in order.onchain_payments.all())

    patch.setattr(due, "_came_sat", came_sat)


def take_other_coins_while_it_may_be_mined(patch: pytest.MonkeyPatch) -> None:
    """What is in no block yet is written off, and signed anew."""
    settle = sending._settle

    def impatient(order: ChannelOrder, refund: Refund, node: LndNode) -> bool:
        if settle(order, refund, node) or refund.state == RefundState.SIGNED:
            return refund.state != RefundState.SIGNED
        sending._record_excluded(refund, sending._versions(order, refund), "")
        return True

    patch.setattr(sending, "_settle", impatient)


def return_what_may_yet_buy(patch: pytest.MonkeyPatch) -> None:
    """The price is no more the channel's than the rest."""
    patch.setattr(due, "is_over", lambda order, now: True)
    patch.setattr(onchain, "is_over", lambda order, now: True)


def keep_every_surplus(patch: pytest.MonkeyPatch) -> None:
    sat = due.sat

    def only_of_what_is_over(order: ChannelOrder, now: datetime, *, besides: Refund | None = None) -> int:
        return sat(order, now, besides=besides) if due.is_over(order, now) else 0

    for module, name in ((due, "sat"), (onchain, "due_sat")):
        patch.setattr(module, name, only_of_what_is_over)


def return_what_is_in_the_channel(patch: pytest.MonkeyPatch) -> None:
    """A small surplus was pushed to the buyer, and is his once more."""
    patch.setattr(due.money, "added_sat", lambda order: 0)


def end_no_order(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sending, "_end", lambda order, refund: None)


def believe_who_knows_the_id(patch: pytest.MonkeyPatch) -> None:
    say, anybody = views.refunding.say_refund_address, actors.staff("anybody")
    patch.setattr(
        views.refunding, "say_refund_address", lambda order, where, *, actor: say(order, where, actor=anybody)
    )


def never_publish(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sending, "_publish", lambda order, refund, node: None)


def count_what_was_replaced(patch: pytest.MonkeyPatch) -> None:
    """What its payer took back counts on, as if it were in the block that it was in, or on its way."""
    patch.setattr(OnchainPayment, "received_sat", lambda self, at, *, height, depth: self.amount_sat)


def leave_coins_leased(patch: pytest.MonkeyPatch) -> None:
    without = SimpleNamespace(held=coins.held, renew=coins.renew, release=lambda lock_id, node: None)
    patch.setattr(sending, "coins", without)


def sell_for_what_goes_back(patch: pytest.MonkeyPatch) -> None:
    """A claim is taken, and an attempt begun, although the refund may be in the next block."""
    for module in (refunding, onchain):
        patch.setattr(module, "is_going_back", lambda order: False)


def sell_late_for_what_went_back(patch: pytest.MonkeyPatch) -> None:
    def buys(order: ChannelOrder, now: datetime) -> bool:
        return order.state == OrderState.EXPIRED and money.of(order, At.DEEP, rail=Rail.ONCHAIN).is_covered

    for module, name in ((late, "buys"), (onchain, "buys_late")):
        patch.setattr(module, name, buys)


def tell_nobody_that_an_address_is_needed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(refunding, "require_address", lambda order, amount_sat: None)


def book_no_refund(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(refunding.books, "refund_begun", lambda order, refund: None)


MUTANTS = (
    Mutant("forgets refunds", forget_what_went_back, "sat go back, of|accounted|was paid"),
    Mutant("counts unmined deposits", count_deposits_in_no_block, "sat go back, of"),
    Mutant("takes other coins", take_other_coins_while_it_may_be_mined, "was paid|the buyer has|never rests"),
    Mutant("returns the price", return_what_may_yet_buy, "and its money|server_defect|goes back|accounted"),
    Mutant("keeps a surplus", keep_every_surplus, "sat came, .* accounted"),
    Mutant("returns what it has pushed", return_what_is_in_the_channel, "sat came, .* accounted|and its money"),
    Mutant("ends no order", end_no_order, "and its money is back|never rests"),
    Mutant("believes strangers", believe_who_knows_the_id, "a stranger was paid"),
    Mutant("never publishes", never_publish, "stays signed"),
    Mutant("counts what was replaced", count_what_was_replaced, "sat go back, of|sat came, .* accounted|has a channel"),
    Mutant("leaves leases", leave_coins_leased, "stays leased for money"),
    Mutant("sells for what goes back", sell_for_what_goes_back, "and its money"),
    Mutant("sells late for what went back", sell_late_for_what_went_back, "and its money|sat came, .* accounted"),
    Mutant("tells nobody", tell_nobody_that_an_address_is_needed, "needs an address, and nobody is told"),
    Mutant("books no refund", book_no_refund, "the books differ"),
)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_machine_finds_what_a_missing_guard_of_refunds_costs(
    refunding_machine: type[Refunds], monkeypatch: pytest.MonkeyPatch, mutant: Mutant
) -> None:
    class Watched(refunding_machine):  # type: ignore[valid-type, misc]
        # Nothing here needs these, and every step that shows nothing makes the search longer.
        unclaim = staff = customer_closes = customer_behaves = customer_is = web_dies_while_it_sells = None
        engine_dies_at_a_look = engine_dies_at_an_order = fees_move = calls_will_go_wrong = None

        def node_restarts(self) -> None:  # no step, but what comes to rest needs it
            self.network.lsp.restart()

    mutant.take_out(monkeypatch)
    look_for(mutant, Watched, examples_at_most=MOST_EXAMPLES, steps=20)
