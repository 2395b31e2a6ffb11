"""Rows in every state, as the operations would have left them.

`OrderFactory()` is an unpaid order; a trait names another state: `OrderFactory(paid_lightning=True)`. What belongs
to an order (invoice, deposits, attempts) follows from its state and from `counted_payment`; `invoice=False` leaves the
invoice out and `invoice__state=…` changes it.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import uuid4

import factory
from django.conf import settings
from django.utils import timezone
from factory.django import DjangoModelFactory

from lightning.types import NodeAddress
from orders import blocks, keys, pricing
from orders.causes import FlagKind
from orders.models import (
    ChannelOpening,
    ChannelOrder,
    Flag,
    HoldInvoice,
    Node,
    NodeSnapshot,
    OnchainPayment,
    Reservation,
    Service,
    WalletTransaction,
)
from orders.states import DepositState, Firmness, InvoiceState, OpeningState, OrderState, TransactionState
from tests.fakes import OUR_KEY, regtest_address
from tests.reserving import ReservationFactory, reservation_of


@lru_cache(maxsize=1000)
def pubkey(number: int = 1) -> str:
    """The key of a node, a point of the curve; another number, another node."""
    for attempt in range(200):
        key = "02" + hashlib.sha256(f"{number}:{attempt}".encode()).hexdigest()
        try:
            return NodeAddress.parse(key).pubkey
        except ValueError:
            continue
    raise AssertionError


def txid(name: object) -> str:
    """A transaction id."""
    return hashlib.sha256(f"tx:{name}".encode()).hexdigest()


def _later(**span: int) -> datetime:
    return timezone.now() + timedelta(**span)


class ServiceFactory(DjangoModelFactory[Service]):
    """A service on sale."""

    class Meta:
        model = Service


class NodeFactory(DjangoModelFactory[Node]):
    """The node that we sell from."""

    class Meta:
        model = Node
        django_get_or_create = ("pubkey",)

    pubkey = OUR_KEY
    first_seen_at = factory.LazyFunction(timezone.now)


class SnapshotFactory(DjangoModelFactory[NodeSnapshot]):
    """The node, just seen, with one BTC to sell."""

    class Meta:
        model = NodeSnapshot
        django_get_or_create = ("node",)

    node = factory.SubFactory(NodeFactory)
    at = factory.LazyFunction(timezone.now)
    alias = "our node"
    uris = factory.LazyFunction(lambda: [f"{OUR_KEY}@203.0.113.5:9735"])
    version = "0.20.0"
    network = "regtest"
    block_height = 800
    synced_to_chain = True
    active_channels = 3
    local_balance_sat = 5_000_000
    remote_balance_sat = 7_000_000
    spendable_sat = 100_000_000
    required_reserve_sat = 10_000
    estimate_sat_per_kw = 2500
    minimum_sat_per_kw = 253


class HoldInvoiceFactory(DjangoModelFactory[HoldInvoice]):
    """The invoice of an order, waiting."""

    class Meta:
        model = HoldInvoice

    order = factory.SubFactory("tests.factories.OrderFactory", invoice=False)
    payment_hash = factory.LazyAttribute(lambda invoice: keys.payment_hash(invoice.order.pk))
    payment_request = factory.LazyAttribute(lambda i: f"lnbcrt{i.order.order_total_sat}fake{i.payment_hash}")
    add_index = factory.Sequence(lambda n: n + 1)
    amount_sat = factory.SelfAttribute("order.order_total_sat")
    state = InvoiceState.OPEN

    class Params:
        was_held = factory.Trait(
            held_sat=factory.SelfAttribute("order.order_total_sat"),
            held_at=factory.SelfAttribute("order.paid_at"),
            hold_expires_height=1088,
        )


class DepositFactory(DjangoModelFactory[OnchainPayment]):
    """A deposit that covers its order, three blocks deep."""

    class Meta:
        model = OnchainPayment

    order = factory.SubFactory("tests.factories.OrderFactory")
    txid = factory.Sequence(lambda n: txid(f"deposit {n}"))
    vout = 1
    amount_sat = factory.SelfAttribute("order.order_total_sat")
    state = DepositState.CONFIRMED
    seen_at = factory.LazyFunction(timezone.now)
    block_height = 798
    confirmations = 3
    inputs = factory.LazyAttribute(lambda deposit: [f"{txid(deposit.txid)}:0"])

    class Params:
        unconfirmed = factory.Trait(state=DepositState.SEEN, block_height=None, confirmations=0)
        vanished = factory.Trait(state=DepositState.VANISHED, block_height=None, confirmations=0)


class TransactionFactory(DjangoModelFactory[WalletTransaction]):
    """A signed funding transaction, published."""

    class Meta:
        model = WalletTransaction

    kind = "funding"
    state = TransactionState.PUBLISHED
    label = factory.Sequence(lambda n: f"funding:{n}")
    lock_id = factory.LazyAttribute(lambda row: hashlib.sha256(row.label.removeprefix("funding:").encode()).digest())
    txid = factory.Sequence(lambda n: txid(f"funding {n}"))
    psbt = b"psbt"
    raw = b"raw"
    inputs = factory.LazyFunction(lambda: [[f"{txid('coin')}:0", 2_000_000, "0014" + "00" * 20]])
    change_index = 1
    fee_sat = 2_000
    created_at = factory.LazyFunction(timezone.now)
    published_at = factory.LazyFunction(timezone.now)


#: Where the transaction of an attempt is that is in such a state.
_TRANSACTION_STATES = {
    OpeningState.FUNDED: TransactionState.DRAFTED,
    OpeningState.COMMITTED: TransactionState.SIGNED,
    OpeningState.CARRYING: TransactionState.SIGNED,
    OpeningState.PUBLISHING: TransactionState.SIGNED,
    OpeningState.CONFLICTING: TransactionState.SIGNED,
    OpeningState.PUBLISHED: TransactionState.PUBLISHED,
    OpeningState.CONFIRMED: TransactionState.DEEP,
    OpeningState.CANCELLING: TransactionState.DRAFTED,
    OpeningState.FAILED: TransactionState.EXCLUDED,
}


class OpeningFactory(DjangoModelFactory[ChannelOpening]):
    """An attempt whose funding is published."""

    class Meta:
        model = ChannelOpening
        skip_postgeneration_save = True

    order = factory.SubFactory("tests.factories.OrderFactory", uri_set=True)
    attempt = factory.LazyAttribute(lambda opening: opening.order.openings.count() + 1)
    state = OpeningState.PUBLISHED
    created_at = factory.LazyFunction(timezone.now)
    changed_at = factory.LazyFunction(timezone.now)
    pending_chan_id = factory.LazyFunction(lambda: uuid4().bytes * 2)
    node_pubkey = factory.SelfAttribute("order.node_pubkey")
    node_host = factory.SelfAttribute("order.node_host")
    announced = True
    capacity_sat = factory.SelfAttribute("order.capacity_sat")
    push_sat = factory.SelfAttribute("order.client_balance_sat")
    transaction = factory.SubFactory(
        TransactionFactory,
        label=factory.LazyAttribute(lambda row: f"funding:{row.factory_parent.order.pk}"),
        state=factory.LazyAttribute(lambda row: _TRANSACTION_STATES[row.factory_parent.state]),
    )
    output_index = 0

    class Params:
        failed = factory.Trait(
            state=OpeningState.FAILED, transaction=None, output_index=None, failure_reason="PEER_NOT_REACHABLE"
        )
        negotiating = factory.Trait(state=OpeningState.NEGOTIATING, transaction=None, output_index=None)
        confirmed = factory.Trait(state=OpeningState.CONFIRMED, short_channel_id="801x1x0")

    @factory.post_generation
    def reserved(self, create: bool, extracted: bool | None, **given: Any) -> None:
        """While it lives, its order's coins are promised for good, and gone once they are leased."""
        opening: Any = self
        if create and opening.is_live:
            put_out = opening.state in {OpeningState.CONFLICTING, OpeningState.CANCELLING}
            leased = None if put_out or opening.transaction is None else opening.transaction.created_at
            Reservation.objects.filter(order=opening.order_id).update(firmness=Firmness.FIRM, leased_at=leased)


def _paid(rail: str, *, claim_hours: int = 6, **more: Any) -> factory.Trait:
    return factory.Trait(
        **{
            "state": OrderState.PAID,
            "counted_payment": rail,
            "paid_at": factory.LazyFunction(timezone.now),
            "claim_expires_at": factory.LazyFunction(lambda: _later(hours=claim_hours)),
            "version": 2,
            **more,
        }
    )


def _claimed(state: OrderState, **more: Any) -> factory.Trait:
    return _paid(
        "lightning",
        **{
            "state": state,
            "node_pubkey": factory.Sequence(pubkey),
            "node_host": "198.51.100.7:9735",
            "claimed_at": factory.LazyFunction(timezone.now),
            "open_deadline_at": factory.LazyFunction(lambda: _later(hours=12)),
            "version": 3,
            **more,
        },
    )


def _delivered(state: OrderState, **more: Any) -> factory.Trait:
    return _claimed(
        state,
        lease_starts_at=factory.LazyFunction(timezone.now),
        lease_starts_height=801,
        lease_ends_at=factory.LazyAttribute(lambda o: o.lease_starts_at + blocks.lasting(o.channel_expiry_blocks)),
        lease_ends_height=factory.LazyAttribute(lambda order: 801 + order.channel_expiry_blocks),
        opened_at=factory.LazyFunction(timezone.now),
        **more,
    )


class OrderFactory(DjangoModelFactory[ChannelOrder]):
    """An order of a million satoshis for six weeks, unpaid."""

    class Meta:
        model = ChannelOrder
        skip_postgeneration_save = True

    id = factory.LazyFunction(uuid4)
    created_at = factory.LazyFunction(timezone.now)
    created_height = 800
    version = 1
    expires_at = factory.LazyAttribute(
        lambda order: order.created_at + timedelta(seconds=settings.ORDER_LIFETIME_SECONDS)
    )
    lsp_node = factory.SubFactory(NodeFactory)
    service = factory.LazyFunction(lambda: Service.objects.filter(on_sale=True).first() or ServiceFactory())
    lsp_balance_sat = 1_000_000
    client_balance_sat = 50_000
    channel_expiry_blocks = 6 * blocks.WEEK
    base_fee_sat = 1_000
    lease_fee_sat = factory.LazyAttribute(
        lambda order: order.lsp_balance_sat * order.channel_expiry_blocks * 500 // (1_000_000 * blocks.WEEK)
    )
    open_fee_sat = 2_220
    close_fee_sat = 1_900
    floor_fee_sat = 0
    fee_total_sat = factory.LazyAttribute(
        lambda o: o.base_fee_sat + o.lease_fee_sat + o.open_fee_sat + o.close_fee_sat + o.floor_fee_sat
    )
    fee_budget_sat = factory.LazyAttribute(
        lambda order: pricing.fee_budget_sat(
            open_fee_sat=order.open_fee_sat, fee_total_sat=order.fee_total_sat, percent=400, floor_sat=5_000
        )
    )
    order_total_sat = factory.LazyAttribute(lambda order: order.fee_total_sat + order.client_balance_sat)
    quoted_sat_per_kw = 2500
    deposit_address = factory.Sequence(lambda n: regtest_address(10_000 + n))

    class Params:
        paid_lightning = _paid("lightning")
        paid_onchain = _paid("onchain", claim_hours=720)
        uri_set = _claimed(OrderState.URI_SET)
        opening = _claimed(OrderState.OPENING)
        open = _delivered(OrderState.OPEN)
        closing = _delivered(OrderState.CLOSING, closing_txid=factory.Sequence(lambda n: txid(f"closing {n}")))
        closed = _delivered(
            OrderState.CLOSED,
            closing_txid=factory.Sequence(lambda n: txid(f"closing {n}")),
            closed_at=factory.LazyFunction(timezone.now),
        )
        give_up = _claimed(
            OrderState.GIVE_UP,
            give_up_reason="PEER_NOT_REACHABLE",
            give_up_until=factory.LazyFunction(lambda: _later(minutes=30)),
            failed_openings=1,
        )
        refunded = _paid("lightning", state=OrderState.REFUNDED, version=3)
        rejected = _paid("onchain", state=OrderState.REJECTED, version=3)
        expired = factory.Trait(
            state=OrderState.EXPIRED, created_at=factory.LazyFunction(lambda: _later(hours=-2)), version=2
        )

    @factory.post_generation
    def invoice(self, create: bool, extracted: bool | None, **given: Any) -> None:
        """Where the Lightning payment of such an order is."""
        order: Any = self
        if create and extracted is not False:
            HoldInvoiceFactory(order=order, **{**_invoice_of(order), **given})

    @factory.post_generation
    def deposits(self, create: bool, extracted: bool | None, **given: Any) -> None:
        """An order paid on chain has its deposit."""
        order: Any = self
        if create and extracted is not False and order.counted_payment == "onchain":
            DepositFactory(order=order, **given)

    @factory.post_generation
    def attempts(self, create: bool, extracted: bool | None, **given: Any) -> None:
        """The attempt that led to such a state."""
        order: Any = self
        kind = _ATTEMPT_OF.get(order.state)
        if create and extracted is not False and kind is not None:
            OpeningFactory(order=order, **{**kind, **given})

    @factory.post_generation
    def reservation(self, create: bool, extracted: bool | None, **given: Any) -> None:
        """What of our coins it is promised."""
        order: Any = self
        if create and extracted is not False:
            ReservationFactory(order=order, **{**reservation_of(order), **given})

    @factory.post_generation
    def flagged(self, create: bool, extracted: str | bool | None, **given: Any) -> None:
        """Why it needs a person: words of no kind, or `flagged__kind=…`; by itself where its money waits for one."""
        order: Any = self
        if extracted is None and order.state == OrderState.REJECTED:
            extracted, given = "Cancelled.", {"kind": FlagKind.CANCELLED_PAID, **given}
        if create and (extracted or given):
            words = {"words": extracted} if isinstance(extracted, str) else {}
            FlagFactory(order=order, **words, **given)


_ATTEMPT_OF: dict[str, dict[str, Any]] = {
    OrderState.OPENING: {},
    OrderState.OPEN: {"confirmed": True},
    OrderState.CLOSING: {"confirmed": True},
    OrderState.CLOSED: {"confirmed": True},
    OrderState.GIVE_UP: {"failed": True},
}
_NEVER_PAID = {OrderState.EXPIRED, OrderState.REJECTED}
_STILL_HELD = {OrderState.PAID, OrderState.URI_SET, OrderState.GIVE_UP}


def _invoice_of(order: ChannelOrder) -> dict[str, Any]:
    if order.state == OrderState.CREATED:
        return {}
    if order.counted_payment != "lightning" or order.state in _NEVER_PAID:
        return {"state": InvoiceState.CANCELLED, "cancelled_at": timezone.now()}
    if order.state == OrderState.REFUNDED:
        return {"was_held": True, "state": InvoiceState.CANCELLED, "cancelled_at": timezone.now()}
    if order.state in _STILL_HELD:
        return {"was_held": True, "state": InvoiceState.HELD}
    return {"was_held": True, "state": InvoiceState.SETTLED, "settled_at": timezone.now()}


class FlagFactory(DjangoModelFactory[Flag]):
    """A flag that stands."""

    class Meta:
        model = Flag

    order = factory.SubFactory(OrderFactory, open=True)
    kind = FlagKind.OTHER
    words = "Look at it."
    raised_at = factory.LazyFunction(timezone.now)
    raised_by = "lsp"

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **given: Any) -> Flag:
        """The order counts it."""
        flag: Flag = super()._create(model_class, *args, **given)
        flag.order.standing_flags += flag.stands
        ChannelOrder.objects.filter(pk=flag.order_id).update(standing_flags=flag.order.standing_flags)
        return flag
