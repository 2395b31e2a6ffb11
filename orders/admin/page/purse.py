"""Whose an order's money is, and where: as the books have it, and what is in no block yet besides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.db.models import Sum

from orders import money
from orders.models import Account, ChannelOrder, Leg
from orders.states import At, DepositState, InvoiceState, OrderState, RefundState

_A: Final = Account
#: Nothing is waited for any more.
_OVER: Final = frozenset({OrderState.EXPIRED, OrderState.REJECTED, OrderState.REFUNDED})


@dataclass(frozen=True, slots=True)
class Part:
    """One sum, where it is."""

    label: str
    msat: int
    words: str = ""

    @property
    def shown(self) -> str:
        """With what is below a satoshi only where there is any."""
        sat, rest = divmod(abs(self.msat), 1000)
        sign = "−" if self.msat < 0 else ""
        return f"{sign}{sat:,}.{rest:03}" if rest else f"{sign}{sat:,}"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has some of it now, or what became of it."""

    name: str
    tone: str
    sums: list[Part]


@dataclass(frozen=True, slots=True)
class Purse:
    """An order's money."""

    #: Its price, and what is pushed to the buyer.
    total_sat: int
    #: What was added to the channel of a surplus.
    added_sat: int
    #: Seen, held or ours; and what was held and went back.
    came_sat: int
    #: More may come, and would buy.
    is_awaited: bool
    holders: list[Holder]

    @property
    def owed_sat(self) -> int:
        """What is to have come for it."""
        return self.total_sat + self.added_sat

    @property
    def missing_sat(self) -> int:
        """What is owed, has not come, and is waited for."""
        return max(0, self.owed_sat - self.came_sat) if self.is_awaited else 0

    @property
    def surplus_sat(self) -> int:
        """What came and is not owed."""
        return max(0, self.came_sat - self.owed_sat)


def of(order: ChannelOrder) -> Purse:
    """The money of an order that was loaded with its details. The books are asked once."""
    seen = money.of(order, At.SEEN)
    said = balances(order)
    groups = (
        Holder("The buyer's, with us", "buyer", list(_nonzero(_of_buyer(order, said)))),
        Holder("In the channel", "channel", list(_nonzero(_in_channel(said)))),
        Holder("Back with the buyer", "back", list(_nonzero(_gone_back(order, said)))),
        Holder("Ours", "ours", list(_nonzero(_ours(order, said)))),
    )
    came_sat = seen.received_sat + _returned_sat(order)
    is_awaited = order.state not in _OVER
    total_sat = order.order_total_sat
    return Purse(total_sat, seen.owed_sat - total_sat, came_sat, is_awaited, [each for each in groups if each.sums])


def _returned_sat(order: ChannelOrder) -> int:
    """What the node held, and has let go back."""
    invoice = order.invoice
    return invoice.held_sat if invoice is not None and invoice.state == InvoiceState.CANCELLED else 0


def balances(order: ChannelOrder) -> dict[Account, int]:
    """What the order has in each account, in millisatoshis: a debit is positive."""
    rows = Leg.objects.filter(entry__order=order).order_by().values_list("account").annotate(Sum("amount_msat"))
    return {Account(account): msat for account, msat in rows}


def _nonzero(sums: Iterator[Part]) -> Iterator[Part]:
    return (each for each in sums if each.msat)


def _of_buyer(order: ChannelOrder, said: dict[Account, int]) -> Iterator[Part]:
    coming_sat = sum(row.amount_sat for row in order.onchain_payments.all() if row.state == DepositState.SEEN)
    yield Part("on its way on chain", coming_sat * 1000, "in no block: it may be replaced")
    is_settled = order.invoice is not None and order.invoice.state == InvoiceState.SETTLED
    words = "settled, and nothing was delivered for it yet" if is_settled else "goes back if no channel comes of it"
    yield Part("taken by our node" if is_settled else "held by our node", -said.get(_A.BUYERS_HELD, 0), words)
    yield Part("in our wallet", -said.get(_A.BUYERS_ONCHAIN, 0), "came on chain, and has bought nothing yet")
    to = f"to {order.refund_address}" if order.refund_address else "no address is known yet"
    yield Part("going back on chain", -said.get(_A.REFUNDS_UNDER_WAY, 0), to)
    yield Part("kept for the buyer", -said.get(_A.KEPT, 0), "in our wallet, until it is released")


def _in_channel(said: dict[Account, int]) -> Iterator[Part]:
    yield Part("our side", said.get(_A.CHANNELS, 0), "as it was opened; the node knows how it stands now")
    yield Part("the buyer's side", -said.get(_A.DELIVERED, 0), "pushed to the buyer, who has paid for it")


def _gone_back(order: ChannelOrder, said: dict[Account, int]) -> Iterator[Part]:
    cost = _cost_of_refunds_sat(order) * 1000
    yield Part("returned", -said.get(_A.REFUNDED, 0) - cost)
    yield Part("cost of sending it", cost, "which the buyer bears")


def _cost_of_refunds_sat(order: ChannelOrder) -> int:
    """Of those that are in a block: among the books' chain fees, and none of ours."""
    return sum(row.fee_sat for row in order.refunds.all() if row.refunded_at is not None)


def _ours(order: ChannelOrder, said: dict[Account, int]) -> Iterator[Part]:
    yield Part("fees earned", -said.get(_A.FEES_EARNED, 0))
    proposed = (row.amount_sat for row in order.refunds.all() if row.state == RefundState.PROPOSED)
    yield Part("proposed to go back", sum(proposed) * 1000, "ours until a person has decided")
    cost = _cost_of_refunds_sat(order) * 1000
    yield Part("chain fees", cost - said.get(_A.CHAIN_FEES, 0), "of fundings, and of what helped or put them out")
    yield Part("cost of closing", -said.get(_A.CLOSE_COSTS, 0))
    yield Part("lost", -said.get(_A.LOSSES, 0))
