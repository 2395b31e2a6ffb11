"""What must be true of money that goes back on chain: by our rows, and by the simulated chain's own outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from django.conf import settings
from django.db.models import F, Q

from orders import marks
from orders.causes import BY_DECISION, Cause
from orders.models import ChannelOrder, OnchainPayment, Refund, WalletTransaction
from orders.models.order import Rail
from orders.states import DELIVERED, SENT_REFUNDS, DepositState, InvoiceState, OpeningState, OrderState, RefundState
from simulator import scripts

#: What is too little for an output of its own goes to the miners.
_DUST_SAT = 546


def is_under_way() -> bool:
    """Blocks and looks alone bring something about yet."""
    has_address = Q(state=RefundState.DUE) & ~Q(order__refund_address="")
    moving = Refund.objects.filter(Q(state__in=[RefundState.SIGNED, RefundState.PUBLISHED]) | has_address)
    shallow = OnchainPayment.objects.filter(
        state=DepositState.CONFIRMED, block_height__gt=F("order__lsp_node__deposits_height") - _final_blocks()
    )
    return moving.exists() or shallow.exists()


def _final_blocks() -> int:
    return int(settings.FINAL_DEPTH_BLOCKS)


def accounted_sat(order: ChannelOrder) -> int:
    """What of its deposits we have delivered for, has gone back, is to go back or is kept: fees are in it."""
    bought = order.state in DELIVERED and order.counted_payment == Rail.ONCHAIN
    bought_sat = order.order_total_sat + in_channel_sat(order) if bought else 0
    return bought_sat + in_refunds_sat(order) - _by_lightning_sat(order)


def _by_lightning_sat(order: ChannelOrder) -> int:
    """What of the refunds a hold invoice had brought: at the end all that is neither its price nor in the channel."""
    if order.counted_payment != Rail.LIGHTNING or order.hold_invoice.state != InvoiceState.SETTLED:
        return 0
    return max(0, order.hold_invoice.held_sat - order.order_total_sat - in_channel_sat(order))


def in_refunds_sat(order: ChannelOrder) -> int:
    """What has gone back, is to go back or is kept."""
    return sum(
        row.amount_sat for row in order.refunds.exclude(state=RefundState.WITHDRAWN).exclude(cause__in=BY_DECISION)
    )


def in_channel_sat(order: ChannelOrder) -> int:
    """What came too much and is on the buyer's side of the channel, or will be with the attempt that is live."""
    return sum(row.surplus_sat for row in order.openings.exclude(state=OpeningState.FAILED))


def addresses_of(order: ChannelOrder) -> set[str]:
    """Wherever the buyer has ever said, or we have ever sent something of his."""
    said = order.events.filter(cause=Cause.REFUND_ADDRESS_GIVEN).values_list("facts__address", flat=True)
    sent = order.refunds.exclude(address="").values_list("address", flat=True)
    return {order.refund_address, *said, *sent} - {""}


# After every step


def check(order: ChannelOrder, paid: Mapping[bytes, Sequence[int]], came: Mapping[bytes, int], *, funded: bool) -> None:
    """Nothing is paid twice, or beyond what came; and nobody has a channel and the money for it."""
    sent = list(order.refunds.filter(state__in=SENT_REFUNDS))
    for address in addresses_of(order):
        out, rows = paid.get(scripts.script_of(address), []), [row for row in sent if row.address == address]
        assert len(out) <= len(rows), f"{order} was paid {len(out)} times, and {len(rows)} refunds were signed"
        most_sat = sum(row.amount_sat for row in rows)
        assert sum(out) < most_sat or not out, f"{order} was paid {out}, of {most_sat} sat"
    if sent:
        there_sat, sent_sat = came.get(_deposit_script(order), 0), sum(row.amount_sat for row in sent)
        assert sent_sat <= there_sat, f"{order}: {sent_sat} sat go back, of {there_sat} that came"
        _check_bought(order, sent, there_sat - sent_sat, funded=funded)


def _check_bought(order: ChannelOrder, sent: Sequence[Refund], left_sat: int, *, funded: bool) -> None:
    if order.counted_payment == Rail.ONCHAIN and (funded or order.live_opening is not None):
        bought_sat = order.order_total_sat + in_channel_sat(order)
        assert left_sat >= bought_sat, f"{order} has a channel, and its money: {left_sat} sat are left"
    if order.live_opening is not None:
        assert not any(row.ends_order for row in sent), f"{order} is being opened, and its money goes back"


def _deposit_script(order: ChannelOrder) -> bytes:
    return scripts.script_of(str(order.deposit_address))


# At the end


def check_rest(order: ChannelOrder, came: Mapping[bytes, int], leased: set[bytes]) -> None:
    """Each satoshi was delivered for, or has gone back, or waits for an address or a person by a row of its own."""
    if not order.deposit_address:
        return
    rows = list(order.refunds.all())
    there_sat = came.get(_deposit_script(order), 0)
    is_gone = not there_sat and order.counted_payment == Rail.ONCHAIN  # taken back after it had bought
    told = f"{order}: {there_sat} sat came, {accounted_sat(order)} accounted"
    assert is_gone or there_sat == accounted_sat(order), told
    for row in rows:
        assert row.state not in {RefundState.SIGNED, RefundState.PUBLISHED}, f"{order}: {row} stays {row.state}"
        if row.state == RefundState.DUE:
            assert not order.refund_address, f"{order}: {row} is due, and everybody knows where to"
            assert order.needs_staff, f"{order}: {row} needs an address, and nobody is told"
        if row.state == RefundState.DONE and row.ends_order:
            assert order.state == OrderState.REFUNDED, f"{order} is {order.state}, and its money is back"
    mined = sum(came.get(scripts.script_of(address), 0) for address in addresses_of(order))
    back = sum(row.sent_sat for row in rows if row.state == RefundState.DONE)
    assert mined == back, f"{order}: the buyer has {mined} sat back, our rows say {back}"
    assert marks.refund_lock_id(order.pk) not in leased, f"a coin stays leased for money of {order} that goes back"


def check_spend(row: WalletTransaction, fee_sat: int, gone_sat: tuple[int, ...]) -> None:
    """It pays the buyer alone, what the row says, and the fee that was recorded."""
    _, order_id, number = row.label.split(":")
    refund = Refund.objects.get(pk=int(number), order=UUID(order_id))
    assert gone_sat == (refund.amount_sat - row.fee_sat,), f"{row.label} pays {gone_sat} away"
    assert row.fee_sat <= fee_sat < row.fee_sat + _DUST_SAT, f"{row.label} pays {fee_sat}, {row.fee_sat} was recorded"
