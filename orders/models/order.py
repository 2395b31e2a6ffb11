"""A channel order: what was asked, at which price, and where it is."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from orders import options, pricing
from orders.ids import short
from orders.models.coupon import Coupon
from orders.models.node import Node
from orders.models.service import Service
from orders.states import CLAIMABLE, OpeningState, OrderState

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

    from orders.models.books import Entry
    from orders.models.closing import ChannelClosing
    from orders.models.credit import Credit
    from orders.models.flag import Flag
    from orders.models.jit import JitPart
    from orders.models.journal import OrderEvent
    from orders.models.opening import ChannelOpening
    from orders.models.payment import HoldInvoice, OnchainPayment
    from orders.models.refund import Refund
    from orders.models.reservation import Reservation


class Rail(models.TextChoices):
    """The way that a payment takes."""

    LIGHTNING = "lightning", "Lightning"
    ONCHAIN = "onchain", "on-chain"


class Door(models.TextChoices):
    """By which of our interfaces an order came. All of them show it, with equal facts."""

    V1 = "v1", "channel-request API"
    LSPS1_REST = "lsps1_rest", "LSPS1 over REST"
    LSPS1_BOLT8 = "lsps1_bolt8", "LSPS1 over Lightning"
    LSPS2 = "lsps2", "LSPS2, just in time"

    @property
    def speaks_lsps1(self) -> bool:
        """Its buyers were promised what bLIP-51 promises."""
        return self in {Door.LSPS1_REST, Door.LSPS1_BOLT8}


class ChannelOrder(models.Model):
    """One channel that somebody buys. `state` is written by orders.transitions alone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField()
    created_height = models.PositiveIntegerField(help_text="The node's block height when it was quoted.")
    state = models.CharField(max_length=16, choices=OrderState.choices, default=OrderState.CREATED)
    version = models.PositiveIntegerField(default=0, help_text="Counts the journal's rows.")
    step = models.PositiveIntegerField(default=0, help_text="Counts the moves of the order, its payment and attempts.")
    due_at = models.DateTimeField(null=True, blank=True, help_text="When to look again; empty: when something happens.")

    door = models.CharField(
        max_length=16, choices=Door.choices, default=Door.V1, help_text="It came by this interface."
    )
    token = models.CharField(
        max_length=200,
        null=True,
        blank=True,
        default="",
        help_text="As the buyer sent it: a coupon, or what names a wallet.",
    )

    lsp_node = models.ForeignKey(
        Node, on_delete=models.PROTECT, related_name="orders", help_text="It opens the channel."
    )
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="orders")
    lsp_balance_sat = models.BigIntegerField()
    client_balance_sat = models.BigIntegerField()
    channel_expiry_blocks = models.PositiveIntegerField(help_text="The channel is promised for so long.")

    required_channel_confirmations = models.PositiveIntegerField(
        null=True, blank=True, help_text="The channel is usable at this depth of its funding, as asked for; empty: not."
    )
    funding_confirms_within_blocks = models.PositiveIntegerField(
        null=True, blank=True, help_text="Its funding is to be in a block so soon after the payment, as asked for."
    )

    lease_gift_blocks = models.PositiveIntegerField(default=0, help_text="For so long besides, as a gift.")
    most_routing_base_msat = models.PositiveIntegerField(null=True, blank=True, help_text="As promised; empty: not.")
    most_routing_ppm = models.PositiveIntegerField(null=True, blank=True, help_text="As promised; empty: not.")

    base_fee_sat = models.BigIntegerField()
    lease_fee_sat = models.BigIntegerField()
    open_fee_sat = models.BigIntegerField()
    close_fee_sat = models.BigIntegerField()
    floor_fee_sat = models.BigIntegerField()
    coupon = models.ForeignKey(
        Coupon, null=True, blank=True, on_delete=models.PROTECT, related_name="orders", db_index=False
    )
    discount_sat = models.BigIntegerField(default=0, help_text="What its coupon took off these.")
    fee_total_sat = models.BigIntegerField()
    fee_budget_sat = models.BigIntegerField(help_text="What its transactions may cost in fees, from what it paid.")
    order_total_sat = models.BigIntegerField()
    quoted_sat_per_kw = models.PositiveIntegerField()
    open_sat_per_kw = models.PositiveIntegerField(
        null=True, blank=True, help_text="What its opening was quoted at, which may confirm later; empty: not known."
    )

    expires_at = models.DateTimeField(help_text="The order is valid until this time, unpaid.")
    deposit_address = models.CharField(max_length=100, null=True, blank=True, unique=True)
    refund_address = models.CharField(max_length=100, blank=True)
    client_hash = models.CharField(max_length=64, blank=True, help_text="A keyed hash of the buyer's address.")

    counted_payment = models.CharField(
        max_length=16, choices=Rail.choices, blank=True, help_text="The payment that counts, set when paid; no other."
    )
    paid_at = models.DateTimeField(null=True, blank=True)
    zero_conf_satvbyte = models.PositiveIntegerField(
        null=True, blank=True, help_text="Above it a deposit may count in no block, before the order ends; empty: none."
    )
    on_credit = models.BooleanField(
        default=False, help_text="It was paid by deposits in no block, and they are not deep yet."
    )

    node_pubkey = models.CharField(max_length=66, blank=True)
    node_host = models.CharField(max_length=260, blank=True)
    announced_by_purchase = models.BooleanField(null=True, blank=True)
    announced_by_claim = models.BooleanField(null=True, blank=True)
    announce_refused_by = models.CharField(
        max_length=66, blank=True, help_text="The node that has taken no public channel, where nobody asked for one."
    )
    zero_conf_refused_by = models.CharField(
        max_length=66, blank=True, help_text="The node that has taken no channel before its funding was mined."
    )
    warnings = models.JSONField(
        default=list, blank=True, help_text="What the buyer was told would keep the channel from opening."
    )
    claimed_at = models.DateTimeField(null=True, blank=True)
    claim_expires_at = models.DateTimeField(null=True, blank=True)
    open_deadline_at = models.DateTimeField(null=True, blank=True)

    failed_openings = models.PositiveIntegerField(default=0, help_text="Since the last claim or retry.")
    last_failure_reason = models.CharField(max_length=64, blank=True, help_text="Why the last attempt has to wait.")
    give_up_reason = models.CharField(max_length=64, blank=True)
    give_up_until = models.DateTimeField(null=True, blank=True)

    lease_starts_at = models.DateTimeField(null=True, blank=True, help_text="The time of the funding block.")
    lease_starts_height = models.PositiveIntegerField(null=True, blank=True)
    lease_ends_at = models.DateTimeField(null=True, blank=True)
    lease_ends_height = models.PositiveIntegerField(null=True, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closing_txid = models.CharField(max_length=64, blank=True)

    # Surprises: a second axis beside the state.
    paid_late = models.BooleanField(default=False)
    underpaid = models.BooleanField(default=False)
    overpaid = models.BooleanField(default=False)
    standing_flags = models.PositiveSmallIntegerField(default=0, help_text="How many of its flags stand.")

    if TYPE_CHECKING:
        hold_invoice: HoldInvoice
        credit: Credit
        reservation: Reservation
        closings: RelatedManager[ChannelClosing]
        entries: RelatedManager[Entry]
        events: RelatedManager[OrderEvent]
        flags: RelatedManager[Flag]
        jit_parts: RelatedManager[JitPart]
        openings: RelatedManager[ChannelOpening]
        refunds: RelatedManager[Refund]
        onchain_payments: RelatedManager[OnchainPayment]

    class Meta:
        ordering = ["-created_at", "id"]
        indexes = [
            models.Index(fields=["due_at"], name="order_due", condition=Q(due_at__isnull=False)),
            models.Index(fields=["created_height"], name="order_oldest"),
            models.Index(fields=["created_at", "id"], name="order_made"),  # the newest first, in lists
            models.Index(
                fields=["state", "created_at"],
                name="order_state",
                include=["lsp_balance_sat", "client_balance_sat"],  # figures, of all orders there ever were
            ),
            # Whatever a person has in hand of it, from its beginning on.
            models.Index(
                fields=["node_pubkey"],
                name="order_node_begins",
                condition=~Q(node_pubkey=""),
                opclasses=["varchar_pattern_ops"],
            ),
            models.Index(
                fields=["closing_txid"],
                name="order_closing",
                condition=~Q(closing_txid=""),
                opclasses=["varchar_pattern_ops"],
            ),
            models.Index(fields=["refund_address"], name="order_refund_to", condition=~Q(refund_address="")),
            models.Index(fields=["client_hash"], name="order_unpaid_client", condition=Q(state="created")),
            models.Index(fields=["created_at"], name="order_flagged", condition=Q(standing_flags__gt=0)),
            models.Index(
                fields=["created_at"],
                name="order_surprise",
                condition=Q(paid_late=True) | Q(underpaid=True) | Q(overpaid=True),
            ),
            # What figures are counted by, of all orders there ever were: read without the orders themselves.
            models.Index(
                fields=["paid_at"], name="order_paid", condition=Q(paid_at__isnull=False), include=["order_total_sat"]
            ),
            models.Index(
                fields=["opened_at"],
                name="order_opened",
                condition=Q(opened_at__isnull=False),
                include=["paid_at", "lsp_balance_sat", "client_balance_sat", "fee_total_sat"],
            ),
            models.Index(fields=["coupon"], name="order_coupon", condition=Q(coupon__isnull=False)),
            models.Index(fields=["lease_ends_at"], name="order_lease_ends", condition=Q(state="open")),
            models.Index(fields=["closed_at"], name="order_closed", condition=Q(closed_at__isnull=False)),
        ]
        constraints = [
            models.CheckConstraint(name="order_door_known", condition=Q(door__in=Door.values)),
            models.CheckConstraint(name="order_state_known", condition=Q(state__in=OrderState.values)),
            models.CheckConstraint(
                name="order_total_adds_up",
                condition=Q(order_total_sat=models.F("fee_total_sat") + models.F("client_balance_sat")),
            ),
            models.CheckConstraint(
                name="order_discount_needs_coupon",
                condition=Q(discount_sat=0) | Q(discount_sat__gt=0, coupon__isnull=False),
            ),
            models.CheckConstraint(name="order_has_a_size", condition=Q(lsp_balance_sat__gt=0)),
            models.CheckConstraint(name="order_pushes_no_debt", condition=Q(client_balance_sat__gte=0)),
            models.CheckConstraint(
                name="order_paid_has_payment",
                condition=Q(state__in=["created", "expired", "rejected"]) | ~Q(counted_payment=""),
            ),
            models.CheckConstraint(
                name="order_claimed_has_node",
                condition=Q(state__in=["created", "expired", "rejected", "paid", "refunded"]) | ~Q(node_pubkey=""),
            ),
        ]

    def __str__(self) -> str:
        return short(self.id)

    @property
    def quote(self) -> pricing.Quote:
        """Its price by parts."""
        return pricing.Quote(
            base_fee_sat=self.base_fee_sat,
            lease_fee_sat=self.lease_fee_sat,
            open_fee_sat=self.open_fee_sat,
            close_fee_sat=self.close_fee_sat,
            floor_fee_sat=self.floor_fee_sat,
            client_balance_sat=self.client_balance_sat,
            sat_per_kw=self.quoted_sat_per_kw,
            open_sat_per_kw=self.open_sat_per_kw or 0,
            discount_sat=self.discount_sat,
        )

    @property
    def capacity_sat(self) -> int:
        """Both sides together."""
        return self.lsp_balance_sat + self.client_balance_sat

    @property
    def needs_staff(self) -> bool:
        """A flag stands: a person has to look."""
        return self.standing_flags > 0

    @property
    def standing(self) -> list[Flag]:
        """The flags that stand, the oldest first; the database is not asked where none does."""
        return [flag for flag in self.flags.all() if flag.stands] if self.standing_flags else []

    @property
    def is_announced(self) -> bool:
        """Whether its channel is public, as things stand: by what buyer and service say, and what the node takes."""
        is_refused = bool(self.node_pubkey) and self.announce_refused_by == self.node_pubkey
        return options.announced(
            by_claim=self.announced_by_claim,
            by_purchase=self.announced_by_purchase,
            by_service=self.service.announced_by_default and not is_refused,
        )

    @property
    def is_zero_conf(self) -> bool:
        """Whether its channel is to be usable before its funding is mined, as things stand: asked for, not refused."""
        is_refused = bool(self.node_pubkey) and self.zero_conf_refused_by == self.node_pubkey
        return self.required_channel_confirmations == 0 and not is_refused

    @property
    def is_jit(self) -> bool:
        """Its channel opens while its payment is on its way to the buyer: our fee stays with us, the rest goes on."""
        return self.door == Door.LSPS2

    @property
    def is_claimable(self) -> bool:
        """Paid, and not past the point of no return (a live attempt forbids it besides)."""
        return self.state in CLAIMABLE

    @property
    def is_undone(self) -> bool:
        """It passed for delivered, and no funding of it is in the chain, or can be: there never was a channel."""
        if self.state not in {OrderState.OPEN, OrderState.CLOSING, OrderState.CLOSED}:
            return False
        return {opening.state for opening in self.openings.all()} == {OpeningState.FAILED}

    @property
    def invoice(self) -> HoldInvoice | None:
        """The Lightning rail's invoice; None where the service does not take Lightning."""
        return getattr(self, "hold_invoice", None)

    @property
    def is_going(self) -> bool:
        """It was told to give way to who pays, or is reached."""
        reservation: Reservation | None = getattr(self, "reservation", None)
        return reservation is not None and reservation.is_going

    @property
    def waits_for_room(self) -> bool:
        """It is paid, and our coins are promised to others."""
        reservation: Reservation | None = getattr(self, "reservation", None)
        return reservation is not None and reservation.is_waiting and not reservation.is_going

    @property
    def payments(self) -> list[HoldInvoice | OnchainPayment]:
        """What every rail has for the order."""
        invoice = [] if self.invoice is None else [self.invoice]
        return [*invoice, *self.onchain_payments.all()]

    @property
    def live_opening(self) -> ChannelOpening | None:
        """The attempt that is not over, if there is one (never two: the database forbids it)."""
        return next((opening for opening in self.openings.all() if opening.is_live), None)


class IdempotencyKey(models.Model):
    """One idempotency key that a buyer sent, for 24 hours. Without an order: in flight."""

    key_hash = models.CharField(max_length=64, primary_key=True)
    body_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_index=True)
    order = models.ForeignKey(ChannelOrder, null=True, blank=True, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return self.key_hash[:12]
