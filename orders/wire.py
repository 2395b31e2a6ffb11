"""An order as the outside sees it. The names on the wire are each interface's own business.

Reads an order with its service, invoice, deposits and openings fetched; queries nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from orders import blocks, keys, lnurl, money, windows
from orders.models import ChannelOpening, ChannelOrder, OnchainPayment, Refund
from orders.models.order import Door, Rail
from orders.states import (
    COMMITTED_OPENINGS,
    DELIVERED,
    At,
    DepositState,
    InvoiceState,
    OpeningState,
    OrderState,
    RefundState,
)

_PUBLISHABLE = COMMITTED_OPENINGS | {OpeningState.CONFIRMED}
#: The network has its funding.
_PUBLISHED = frozenset({OpeningState.PUBLISHED, OpeningState.CONFIRMED})
#: What sends it is with the network.
_SENT = frozenset({RefundState.PUBLISHED, RefundState.DONE})


class PaymentState(StrEnum):
    """Where the money of one rail is, in bLIP-51's words."""

    EXPECT_PAYMENT = "EXPECT_PAYMENT"
    HOLD = "HOLD"
    PAID = "PAID"
    REFUNDED = "REFUNDED"


class DepositStage(StrEnum):
    """How far one output that pays an order has come."""

    SEEN = "seen"  # in no block: not yet, or not any more
    CONFIRMING = "confirming"
    DEEP = "deep"  # it counts
    GONE = "gone"  # its payer has replaced it, or a reorganisation took it back for good


@dataclass(frozen=True, slots=True)
class Place:
    """Where the outside finds us: our URL and the node's address (`key@host:port`; "" unknown)."""

    public_url: str
    node_address: str = ""


@dataclass(frozen=True, slots=True)
class NodeView:
    """The buyer's node, as it was named."""

    pubkey: str
    address: str | None  # host:port
    host: str | None
    port: str | None


@dataclass(frozen=True, slots=True)
class LnurlView:
    """What a wallet gets from the order's LNURL, and the LNURL itself."""

    uri: str | None
    callback: str
    k1: str
    tag: str
    encoded: str


@dataclass(frozen=True, slots=True)
class DepositView:
    """One output that pays the order's address."""

    txid: str
    vout: int
    address: str | None
    amount_sat: int
    block_height: int | None
    stage: DepositStage
    confirmed: bool
    depth: int
    #: At which it counts.
    required_depth: int
    on_credit: bool


@dataclass(frozen=True, slots=True)
class FundingView:
    """The channel's funding output, once it is on its way into the chain."""

    txid: str
    vout: int


@dataclass(frozen=True, slots=True)
class ClosingView:
    """The transaction that closes the channel."""

    txid: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One attempt to open the channel."""

    attempt: int
    state: str
    at: datetime
    pubkey: str
    failure_reason: str | None


@dataclass(frozen=True, slots=True)
class WarningView:
    """What would keep the channel from opening, by our names, and what would work; None: nothing that we could name."""

    code: str
    message: str
    field: str
    works: int | bool | None
    is_sure: bool


@dataclass(frozen=True, slots=True)
class QuoteView:
    """What a buyer needs in order to pay. The token is shown here and nowhere else."""

    order_id: str
    expires_at: datetime
    fee_total_sat: int
    order_total_sat: int
    payment_request: str | None
    deposit_address: str | None
    most_routing_base_msat: int | None
    most_routing_ppm: int | None
    lnurl: LnurlView
    token: str
    warnings: tuple[WarningView, ...]


@dataclass(frozen=True, slots=True)
class OrderView:
    """Everything about an order that its buyer may know; None where it is not known yet."""

    order_id: str
    door: Door
    #: As it was sent; None: as null, or by a door that knows none.
    token: str | None
    service_id: str
    state: OrderState
    created_at: datetime
    expires_at: datetime
    lsp_balance_sat: int
    client_balance_sat: int
    channel_expiry_blocks: int
    required_channel_confirmations: int | None
    funding_confirms_within_blocks: int | None
    lease_ends_at: datetime
    fee_total_sat: int
    order_total_sat: int
    payment_request: str | None
    lightning_state: PaymentState
    deposit_address: str | None
    onchain_state: PaymentState
    #: So deep a deposit counts.
    required_depth: int
    refund_address: str | None
    paid_by: Rail | None
    received_sat: int
    payment_held: bool
    underpaid: bool
    overpaid: bool
    paid_late: bool
    on_credit: bool
    zero_conf_satvbyte: int | None
    deposits: tuple[DepositView, ...]
    #: What was seen once, and is not there any more.
    gone_deposits: tuple[DepositView, ...]
    refund_needed: bool
    refund_sat: int | None
    refund_txid: str | None
    refunded_at: datetime | None
    node: NodeView | None
    announced: bool
    claim_expires_at: datetime | None
    give_up_reason: str | None
    opening_trouble: str | None
    attempts: tuple[AttemptView, ...]
    funding: FundingView | None
    #: Since when the network has it.
    funded_at: datetime | None
    closing: ClosingView | None
    short_channel_id: str | None
    most_routing_base_msat: int | None
    most_routing_ppm: int | None
    lnurl: LnurlView
    warnings: tuple[WarningView, ...]


def view(order: ChannelOrder, place: Place) -> OrderView:
    """The order as the outside may see it, at `place`."""
    openings = list(order.openings.all())
    opening = _delivering(order, openings)
    # Deposits in no block are listed, and not counted, but where they were taken for paid.
    came = money.of(order, At.SEEN if order.on_credit else At.CONFIRMED)
    deposits = [_deposit(order, row) for row in order.onchain_payments.all()]
    refund = _last_refund(order)
    return OrderView(
        order_id=str(order.pk),
        door=Door(order.door),
        token=order.token,
        service_id=str(order.service_id),
        state=OrderState(order.state),
        created_at=order.created_at,
        expires_at=order.expires_at,
        lsp_balance_sat=order.lsp_balance_sat,
        client_balance_sat=order.client_balance_sat,
        channel_expiry_blocks=order.channel_expiry_blocks,
        required_channel_confirmations=order.required_channel_confirmations,
        funding_confirms_within_blocks=order.funding_confirms_within_blocks,
        lease_ends_at=order.lease_ends_at or order.created_at + blocks.lasting(_promised_blocks(order)),
        fee_total_sat=order.fee_total_sat,
        order_total_sat=order.order_total_sat,
        payment_request=order.invoice.payment_request if order.invoice else None,
        lightning_state=_lightning_state(order, refund),
        deposit_address=order.deposit_address,
        onchain_state=_onchain_state(order, refund),
        required_depth=money.required_confirmations(order),
        refund_address=order.refund_address or None,
        paid_by=Rail(order.counted_payment) if order.counted_payment else None,
        received_sat=came.received_sat,
        payment_held=bool(came.held_sat),
        underpaid=order.underpaid,
        overpaid=order.overpaid,
        paid_late=order.paid_late,
        on_credit=order.on_credit,
        zero_conf_satvbyte=order.zero_conf_satvbyte,
        deposits=tuple(each for each in deposits if each.stage is not DepositStage.GONE),
        gone_deposits=tuple(each for each in deposits if each.stage is DepositStage.GONE),
        **_refund(order, refund),
        node=_node(order),
        announced=order.is_announced,
        claim_expires_at=windows.usable_until(order, order.claim_expires_at),
        give_up_reason=order.give_up_reason or None,
        opening_trouble=_opening_trouble(order, openings),
        attempts=tuple(_attempt(row) for row in openings),
        funding=_funding(opening),
        funded_at=_funded_at(order, opening),
        closing=ClosingView(order.closing_txid, order.closed_at) if order.closing_txid else None,
        short_channel_id=opening.short_channel_id or None if opening else None,
        most_routing_base_msat=order.most_routing_base_msat,
        most_routing_ppm=order.most_routing_ppm,
        lnurl=lnurl_view(str(order.pk), place),
        warnings=warnings(order),
    )


def _promised_blocks(order: ChannelOrder) -> int:
    return order.channel_expiry_blocks + order.lease_gift_blocks


def quote(order: ChannelOrder, place: Place) -> QuoteView:
    """The order as its buyer gets it first; a repeated purchase gets the same."""
    return QuoteView(
        order_id=str(order.pk),
        expires_at=order.expires_at,
        fee_total_sat=order.fee_total_sat,
        order_total_sat=order.order_total_sat,
        payment_request=order.invoice.payment_request if order.invoice else None,
        deposit_address=order.deposit_address,
        most_routing_base_msat=order.most_routing_base_msat,
        most_routing_ppm=order.most_routing_ppm,
        lnurl=lnurl_view(str(order.pk), place),
        token=keys.order_token(order.pk),
        warnings=warnings(order),
    )


def warnings(order: ChannelOrder) -> tuple[WarningView, ...]:
    """What its buyer was told before he paid."""
    return tuple(
        WarningView(row["code"], row["message"], row["field"], row["works"], row["is_sure"]) for row in order.warnings
    )


def lnurl_view(order_id: str, place: Place) -> LnurlView:
    """The order's LNURL-channel, the same for its whole life."""
    return LnurlView(
        uri=place.node_address or None,
        callback=lnurl.callback_url(place.public_url),
        k1=order_id,
        tag=lnurl.TAG,
        encoded=lnurl.encode(lnurl.channel_url(place.public_url, order_id)),
    )


def _delivering(order: ChannelOrder, openings: list[ChannelOpening]) -> ChannelOpening | None:
    """The attempt that is, or became, the order's channel."""
    if order.state not in DELIVERED:
        return None
    return next((row for row in reversed(openings) if row.state in _PUBLISHABLE), None)


def _opening_trouble(order: ChannelOrder, openings: list[ChannelOpening]) -> str | None:
    """Why the channel is not being opened now: what the order waits for, or why we gave up."""
    waits = order.state == OrderState.URI_SET and not any(opening.is_live for opening in openings)
    return order.give_up_reason or (order.last_failure_reason if waits else "") or None


def _funding(opening: ChannelOpening | None) -> FundingView | None:
    if opening is None or opening.transaction is None or opening.output_index is None:
        return None
    return FundingView(opening.transaction.txid, opening.output_index)


def _funded_at(order: ChannelOrder, opening: ChannelOpening | None) -> datetime | None:
    """When the network had the funding, as far as is known: not after its block, from which the lease is counted."""
    if opening is None or opening.transaction is None or opening.state not in _PUBLISHED:
        return None
    published_at = opening.transaction.published_at or opening.changed_at
    return min(published_at, order.lease_starts_at or published_at)


def _lightning_state(order: ChannelOrder, refund: Refund | None) -> PaymentState:
    """Of the invoice; what was settled may have gone back on chain."""
    invoice = order.invoice
    if invoice is None or invoice.state == InvoiceState.OPEN:
        return PaymentState.EXPECT_PAYMENT
    if invoice.state in {InvoiceState.HELD, InvoiceState.RETURNING}:
        return PaymentState.HOLD
    if invoice.state == InvoiceState.CANCELLED:
        return PaymentState.REFUNDED if invoice.held_at else PaymentState.EXPECT_PAYMENT
    is_back = order.counted_payment == Rail.LIGHTNING and _ended_by(order, refund)
    return PaymentState.REFUNDED if is_back else PaymentState.PAID


def _onchain_state(order: ChannelOrder, refund: Refund | None) -> PaymentState:
    """Of the deposits: they have paid while they cover the order as deep as they have to be, and never what they
    bought is sent back.
    """
    counts = order.counted_payment == Rail.ONCHAIN
    if order.onchain_payments.all() and (_ended_by(order, refund) if counts else _was_sent(refund)):
        return PaymentState.REFUNDED
    at = At.SEEN if order.on_credit else At.CONFIRMED
    is_paid = counts and money.of(order, at, rail=Rail.ONCHAIN).is_covered
    return PaymentState.PAID if is_paid else PaymentState.EXPECT_PAYMENT


def _ended_by(order: ChannelOrder, refund: Refund | None) -> bool:
    """What had bought the channel went back."""
    return order.state == OrderState.REFUNDED or (refund is not None and refund.ends_order and _was_sent(refund))


def _was_sent(refund: Refund | None) -> bool:
    return refund is not None and refund.state in _SENT


def _refund(order: ChannelOrder, refund: Refund | None) -> dict[str, Any]:
    """What goes back on chain, or went: the last of it; else when the Lightning payment went back."""
    if refund is None:
        is_back = order.state == OrderState.REFUNDED and order.invoice is not None
        at = order.invoice.cancelled_at if is_back and order.invoice else None
        return {"refund_needed": False, "refund_sat": None, "refund_txid": None, "refunded_at": at}
    return {
        "refund_needed": refund.state == RefundState.DUE and not order.refund_address,
        "refund_sat": refund.sent_sat,
        "refund_txid": refund.transaction.txid if refund.transaction else None,
        "refunded_at": refund.refunded_at,
    }


def _last_refund(order: ChannelOrder) -> Refund | None:
    """The database is not asked where nothing came that could go back on chain."""
    if not money.may_go_back(order):
        return None
    untold = [RefundState.WITHDRAWN, RefundState.PROPOSED]
    return order.refunds.exclude(state__in=untold).select_related("transaction").last()


def _deposit(order: ChannelOrder, row: OnchainPayment) -> DepositView:
    depth, required = row.depth(order.lsp_node.deposits_height or 0), money.required_confirmations(order)
    return DepositView(
        txid=row.txid,
        vout=row.vout,
        address=order.deposit_address,
        amount_sat=row.amount_sat,
        block_height=row.block_height,
        stage=_stage(row, depth, required),
        confirmed=row.state == DepositState.CONFIRMED,
        depth=depth,
        required_depth=required,
        on_credit=order.on_credit and row.state == DepositState.SEEN,
    )


def _stage(row: OnchainPayment, depth: int, required: int) -> DepositStage:
    if row.state == DepositState.VANISHED:
        return DepositStage.GONE
    if row.state == DepositState.SEEN:
        return DepositStage.SEEN
    return DepositStage.DEEP if depth >= required else DepositStage.CONFIRMING


def _node(order: ChannelOrder) -> NodeView | None:
    if not order.node_pubkey:
        return None
    host, _, port = order.node_host.rpartition(":")
    return NodeView(order.node_pubkey, order.node_host or None, host.strip("[]") or None, port or None)


def _attempt(row: ChannelOpening) -> AttemptView:
    return AttemptView(row.attempt, row.state, row.created_at, row.node_pubkey, row.failure_reason or None)
