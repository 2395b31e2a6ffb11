"""The books follow the rows: whoever moves one says so here, in one line, in the transaction of the move."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from orders import keys, marks
from orders.books import saying
from orders.books.posting import About, post
from orders.books.saying import OPENED, Legs, difference
from orders.causes import BY_DECISION
from orders.models import (
    SHAPING,
    Account,
    ChannelOpening,
    ChannelOrder,
    EntryKind,
    HoldInvoice,
    OnchainPayment,
    Refund,
    TransactionKind,
    WalletTransaction,
)
from orders.models.order import Rail
from orders.states import DepositState, InvoiceState, RefundState

#: What moved coins of the wallet ("": nothing did), and the legs.
_Said = tuple[str, Legs]
_NOTHING: _Said = ("", {})


@contextmanager
def following(order: ChannelOrder, row: HoldInvoice | ChannelOpening | Refund | OnchainPayment) -> Iterator[None]:
    """What the block changes of the order's row is posted when it ends. The caller holds the order's row."""
    if isinstance(row, ChannelOpening):
        was_opened = row.state in OPENED
        yield
        if was_opened != (row.state in OPENED):  # nothing else of an attempt moves money
            legs = _of_opening(order, row)
            _post(order, row, *((legs, _NOTHING) if was_opened else (_NOTHING, legs)))
    else:
        before = _says(order, row)
        yield
        _post(order, row, before, _says(order, row))


def refund_begun(order: ChannelOrder, refund: Refund) -> None:
    """What is to go back is taken from what came. The caller holds the order's row, and has made the refund."""
    _post(order, refund, _NOTHING, _says(order, refund))


def deposits(order: ChannelOrder, before: Iterable[OnchainPayment], after: Iterable[OnchainPayment]) -> None:
    """What the order's deposits are now is posted, one entry for a transaction. The caller holds the order's row."""
    was, now = _by_transaction(order, before), _by_transaction(order, after)
    for txid, rows in now.items():
        said = [(txid, saying.together(*map(saying.of_deposit, each))) for each in (was[txid], rows)]
        _post(order, min(rows, key=lambda row: row.vout), *said)


def returned_by_hand(order: ChannelOrder) -> None:
    """All that was there and is in no refund went back by the word of who says so. The caller holds the order's row.

    A deposit in no block counts too, as it was sent back: what comes of it later is nobody's but ours.
    """
    there = sum(row.amount_sat for row in order.onchain_payments.all() if row.state != DepositState.VANISHED)
    going = sum(row.amount_sat for row in order.refunds.all() if _goes_back(row))
    settled = order.invoice if order.invoice and order.invoice.state == InvoiceState.SETTLED else None
    claims = _says(order, settled)[1] if settled else {}
    onchain_sat = there - claims.get(Account.BUYERS_ONCHAIN, 0) // 1000 - going
    held = -claims.get(Account.BUYERS_HELD, 0)
    legs = {
        Account.BUYERS_ONCHAIN: onchain_sat * 1000,
        Account.BUYERS_HELD: held,
        Account.REFUNDED: -onchain_sat * 1000 - held,
    }
    post(About(EntryKind.BY_HAND, keys.reference(order.pk), order.pk, order.lsp_node_id), legs)


def transaction_moved(before: WalletTransaction, after: WalletTransaction) -> None:
    """What a transaction of ours costs is posted. The caller holds its row."""
    legs = difference(saying.of_transaction(before), saying.of_transaction(after))
    order_id = None if after.kind in SHAPING else marks.order_of_label(after.label, TransactionKind(after.kind))
    post(About(EntryKind.FEE, after.txid, order_id, txid=after.txid), legs)


def _goes_back(row: Refund) -> bool:
    """Of what came on chain."""
    return row.state != RefundState.WITHDRAWN and row.cause not in BY_DECISION


def _by_transaction(order: ChannelOrder, rows: Iterable[OnchainPayment]) -> defaultdict[str, list[OnchainPayment]]:
    found: defaultdict[str, list[OnchainPayment]] = defaultdict(list)
    for row in rows:
        if row.order_id == order.pk:
            found[row.txid].append(row)
    return found


def _says(order: ChannelOrder, row: HoldInvoice | Refund | OnchainPayment) -> _Said:
    if isinstance(row, HoldInvoice):
        return "", _of_invoice(order, row)
    if isinstance(row, OnchainPayment):
        return row.txid, saying.of_deposit(row)
    is_back = row.refunded_at is not None and row.transaction is not None
    return row.transaction.txid if is_back and row.transaction else "", saying.of_refund(row)


def _of_invoice(order: ChannelOrder, row: HoldInvoice) -> Legs:
    """With what it has decided: a payment that is settled, or gone, where the channel is delivered."""
    counts = order.counted_payment == Rail.LIGHTNING
    legs = saying.of_invoice(row, total_sat=order.order_total_sat, counts=counts)
    is_over = row.state in {InvoiceState.SETTLED, InvoiceState.CANCELLED} and row.held_at is not None
    opened = order.openings.filter(state__in=OPENED).first() if is_over and counts else None
    return legs if opened is None else saying.together(legs, _outcome(order, opened, row))


def _of_opening(order: ChannelOrder, row: ChannelOpening) -> _Said:
    assert row.transaction is not None  # the database says so of what is published
    legs = saying.of_opening(capacity_sat=row.capacity_sat, push_sat=row.push_sat)
    return row.transaction.txid, saying.together(legs, _outcome(order, row, order.invoice))


def _outcome(order: ChannelOrder, opened: ChannelOpening, invoice: HoldInvoice | None) -> Legs:
    """What the delivered order has come to: sold, or lost; nothing while its payment is held."""
    state = invoice.state if invoice is not None else ""
    if order.counted_payment == Rail.ONCHAIN:
        fee_sat, push_sat = order.fee_total_sat, opened.push_sat
        return saying.of_sale(Account.BUYERS_ONCHAIN, fee_total_sat=fee_sat, push_sat=push_sat)
    if order.counted_payment == Rail.LIGHTNING and state == InvoiceState.SETTLED:
        added = saying.of_sale(Account.BUYERS_ONCHAIN, fee_total_sat=0, push_sat=opened.surplus_sat)
        bought_sat = opened.push_sat - opened.surplus_sat
        # of a payment that is passed on to its buyer he may have taken a part, and we our fee of that
        missing_sat = max(0, order.order_total_sat - invoice.held_sat) if invoice and invoice.is_passed_on else 0
        earned_sat = max(0, order.fee_total_sat - missing_sat)
        sold = saying.of_sale(Account.BUYERS_HELD, fee_total_sat=earned_sat, push_sat=bought_sat)
        return saying.together(sold, added)
    if order.counted_payment == Rail.LIGHTNING and state == InvoiceState.CANCELLED:
        return saying.of_loss(push_sat=opened.push_sat)
    return {}


def _post(
    order: ChannelOrder, row: HoldInvoice | ChannelOpening | Refund | OnchainPayment, before: _Said, after: _Said
) -> None:
    """One entry; two where another transaction moves the coins now."""
    if before[0] and after[0] and before[0] != after[0]:
        _post(order, row, before, (before[0], {}))
        before = (after[0], {})
    post(_about(order, row, after[0] or before[0]), difference(before[1], after[1]))


def _about(order: ChannelOrder, row: HoldInvoice | ChannelOpening | Refund | OnchainPayment, txid: str) -> About:
    match row:
        case HoldInvoice():
            kind, name = EntryKind.PAYMENT, f"{row.pk}"
        case ChannelOpening():
            kind, name = EntryKind.OPENING, f"{row.pk}"
        case Refund():
            kind, name = EntryKind.REFUND, f"{row.pk}"
        case OnchainPayment():
            kind, name = EntryKind.DEPOSIT, f"{row.txid}:{row.vout}"
    return About(kind, name, order.pk, order.lsp_node_id, txid)
