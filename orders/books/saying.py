"""What the books are to have of a row as it stands. Values in, legs out; what changes is the difference of two.

A debit is positive and says where money is; a credit is negative and says whose it is, or what became of it.
"""

from __future__ import annotations

from typing import Final

from orders.causes import Cause
from orders.models import Account, HoldInvoice, OnchainPayment, Refund, TransactionKind, WalletTransaction
from orders.states import DepositState, InvoiceState, OpeningState, RefundState, TransactionState

#: The legs of one thing, in millisatoshis.
Legs = dict[Account, int]

_A: Final = Account
#: The node holds it for us, and it is not ours.
_HELD: Final = frozenset({InvoiceState.HELD, InvoiceState.RETURNING})
#: The channel is on its way, or there.
OPENED: Final = frozenset({OpeningState.PUBLISHED, OpeningState.CONFIRMED})
#: By whose money a refund is paid, where that is not what came on chain.
_TAKEN_FROM: Final[dict[str, Account]] = {
    Cause.NOT_DELIVERED: _A.BUYERS_HELD,
    Cause.CLOSED_UNUSED: _A.LOSSES,
    Cause.CLOSED_EARLY: _A.LOSSES,
}
_PUBLISHED: Final = frozenset({TransactionState.PUBLISHED, TransactionState.DEEP})


def difference(before: Legs, after: Legs) -> Legs:
    """What is to be posted so that the books say `after` where they said `before`."""
    accounts = before.keys() | after.keys()
    legs = {account: after.get(account, 0) - before.get(account, 0) for account in accounts}
    return {account: amount for account, amount in sorted(legs.items()) if amount}


def together(*several: Legs) -> Legs:
    """All of them in one."""
    return {account: sum(legs.get(account, 0) for legs in several) for account in set().union(*several)}


def of_invoice(row: HoldInvoice, *, total_sat: int, counts: bool) -> Legs:
    """What was held is the buyer's; settled it is with us, and what is beyond the price goes back on chain."""
    msat = row.held_sat * 1000
    if row.state in _HELD:
        return {_A.LIGHTNING: msat, _A.BUYERS_HELD: -msat}
    if row.state == InvoiceState.SETTLED:
        surplus = max(0, row.held_sat - total_sat) * 1000 if counts else 0
        return {_A.LIGHTNING: msat, _A.BUYERS_HELD: surplus - msat, _A.BUYERS_ONCHAIN: -surplus}
    if row.state == InvoiceState.CANCELLED and row.held_at is not None:
        return {_A.REFUNDED: -msat, _A.GIVEN: msat}
    return {}


def of_deposit(row: OnchainPayment) -> Legs:
    """In a block it is in our wallet, and the buyer's."""
    msat = row.amount_sat * 1000 if row.state == DepositState.CONFIRMED else 0
    return {_A.WALLET: msat, _A.BUYERS_ONCHAIN: -msat}


def of_opening(*, capacity_sat: int, push_sat: int) -> Legs:
    """Published, the coins are in the channel: on our side, and on the buyer's."""
    return {
        _A.WALLET: -capacity_sat * 1000,
        _A.CHANNELS: (capacity_sat - push_sat) * 1000,
        _A.GIVEN: push_sat * 1000,
    }


def of_sale(claim: Account, *, fee_total_sat: int, push_sat: int) -> Legs:
    """Delivered and ours: what was paid for the order has bought the buyer's side, and the rest is earned."""
    return {
        claim: (fee_total_sat + push_sat) * 1000,
        _A.DELIVERED: -push_sat * 1000,
        _A.FEES_EARNED: -fee_total_sat * 1000,
    }


def of_loss(*, push_sat: int) -> Legs:
    """Delivered and never paid: the buyer's side is a present of ours."""
    return {_A.LOSSES: push_sat * 1000, _A.GIVEN: -push_sat * 1000}


def of_refund(row: Refund) -> Legs:
    """What is to go back is taken from what came; mined it is with the buyer, but for what sending it has cost.

    What is only proposed is ours still.
    """
    msat, fee = row.amount_sat * 1000, row.fee_sat * 1000
    source = _TAKEN_FROM.get(row.cause, _A.BUYERS_ONCHAIN)
    if row.refunded_at is not None:
        return {
            source: msat,
            _A.REFUNDED: -msat,
            _A.WALLET: -msat,
            _A.GIVEN: msat - fee,
            _A.CHAIN_FEES: fee,
        }
    if row.state in {RefundState.WITHDRAWN, RefundState.PROPOSED}:
        return {}
    return {source: msat, _A.KEPT if row.state == RefundState.KEPT else _A.REFUNDS_UNDER_WAY: -msat}


def of_transaction(row: WalletTransaction) -> Legs:
    """What it costs: a funding once it is published; of what only spends to ourselves the one that is mined for good.

    A refund's cost is the buyer's, and its own row's.
    """
    if row.kind == TransactionKind.REFUND:
        return {}
    counts = _PUBLISHED if row.kind == TransactionKind.FUNDING else {TransactionState.DEEP}
    msat = row.fee_sat * 1000 if row.state in counts else 0
    return {_A.WALLET: -msat, _A.CHAIN_FEES: msat}
