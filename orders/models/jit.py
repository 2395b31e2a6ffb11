"""Channels that open while their first payment is on its way: what a wallet bought, and the payment's parts."""

from __future__ import annotations

from django.db import models
from django.db.models import Q, Value

from lightning.parts import Circuit
from orders.models.order import ChannelOrder
from orders.models.service import Service


class JitPurchase(models.Model):
    """What one peer bought: a short channel id that does not exist yet, and the fee of the channel that it becomes.

    It costs its buyer nothing, so one that no payment ever named is kept for a while only.
    """

    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="jit_purchases")
    node_pubkey = models.CharField(max_length=66, help_text="Who bought it, and gets the channel.")
    scid = models.CharField(
        max_length=40, unique=True, help_text="BLOCKxTXxOUTPUT, of a block that there is not: payers name it."
    )
    created_at = models.DateTimeField()
    valid_until = models.DateTimeField(db_index=True, help_text="No payment begins after this.")
    payment_size_msat = models.BigIntegerField(
        null=True, blank=True, help_text="Of a payment in parts; empty: the first part says it."
    )
    min_fee_msat = models.BigIntegerField()
    proportional_ppm = models.PositiveBigIntegerField()
    min_payment_size_msat = models.BigIntegerField()
    max_payment_size_msat = models.BigIntegerField()
    min_lifetime_blocks = models.PositiveIntegerField(help_text="The channel is promised for so long.")
    max_client_to_self_delay = models.PositiveIntegerField()
    cltv_expiry_delta = models.PositiveIntegerField(help_text="Blocks that payers leave us.")
    client_trusts_lsp = models.BooleanField(
        help_text="The funding is published when the payment was taken; else before it is passed on."
    )

    opened_at = models.DateTimeField(
        null=True, blank=True, help_text="Since then its number is one of a channel's, and payments are passed on."
    )

    class Meta:
        ordering = ["id"]
        verbose_name = "just-in-time purchase"
        indexes = [models.Index(fields=["node_pubkey", "valid_until"], name="jit_purchase_of_peer")]
        constraints = [
            models.CheckConstraint(
                name="jit_purchase_has_a_size",
                condition=Q(payment_size_msat=None) | Q(payment_size_msat__gt=0),
            ),
            models.CheckConstraint(
                name="jit_purchase_sizes_in_order",
                condition=Q(min_payment_size_msat__lte=models.F("max_payment_size_msat")),
            ),
        ]

    def __str__(self) -> str:
        return self.scid

    @property
    def number(self) -> int:
        """Its short channel id as nodes write it."""
        block, index, output = map(int, self.scid.split("x"))
        return block << 40 | index << 16 | output


class PartDecision(models.TextChoices):
    """What becomes of a part: written before our node is told, and the same whenever it asks again."""

    RESUME = "resume", "passed on"
    #: The payer hears that it may be tried again.
    FAIL = "fail", "failed for now"
    #: The payer hears that there is no such channel: our node goes on as if we were not there, and knows none.
    REFUSE = "refuse", "refused"


class JitPart(models.Model):
    """One part (an HTLC) of a payment that names a purchase's short channel id, at our node, until we have decided.

    Unique by its circuit: our node may ask about the same part any number of times.
    """

    purchase = models.ForeignKey(JitPurchase, on_delete=models.PROTECT, related_name="parts")
    order = models.ForeignKey(
        ChannelOrder, null=True, blank=True, on_delete=models.PROTECT, related_name="jit_parts",
        help_text="What it pays for, once there are enough.",
    )  # fmt: skip
    chan_id = models.CharField(max_length=20, help_text="The channel that it came by, as a number.")
    htlc_id = models.BigIntegerField()
    payment_hash = models.CharField(max_length=64)
    incoming_msat = models.BigIntegerField()
    incoming_expiry = models.PositiveIntegerField()
    outgoing_msat = models.BigIntegerField(help_text="What the sender wants passed on: his wish alone.")
    outgoing_expiry = models.PositiveIntegerField()
    auto_fail_height = models.PositiveIntegerField(help_text="From this block on our node fails it by itself.")
    heard_at = models.DateTimeField()
    decision = models.CharField(max_length=8, choices=PartDecision.choices, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    fee_msat = models.BigIntegerField(default=0, help_text="What of it is our fee.")
    reason = models.CharField(max_length=64, blank=True)
    moves = models.JSONField(
        default=dict, db_default=Value({}, models.JSONField()), blank=True,
        help_text="How often what is in each channel with the buyer's node had changed before it went on.",
    )  # fmt: skip
    told_at = models.DateTimeField(null=True, blank=True, help_text="Right before our node was told that it goes on.")
    is_done = models.BooleanField(
        default=False, db_default=False, help_text="Our node has done so: nothing is said of it any more."
    )

    class Meta:
        ordering = ["id"]
        verbose_name = "just-in-time part"
        indexes = [
            models.Index(fields=["purchase", "payment_hash"], name="jit_part_of_payment"),
            models.Index(fields=["heard_at"], name="jit_part_undecided", condition=Q(decision="")),
        ]
        constraints = [
            models.UniqueConstraint(fields=["chan_id", "htlc_id"], name="jit_part_once"),
            models.CheckConstraint(
                name="jit_part_decided_when",
                condition=Q(decision="", decided_at=None) | (~Q(decision="") & Q(decided_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="jit_part_bears_its_fee",
                condition=Q(fee_msat__gte=0, fee_msat__lte=models.F("incoming_msat")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.chan_id}:{self.htlc_id}"

    @property
    def circuit(self) -> Circuit:
        """How our node calls it."""
        return Circuit(int(self.chan_id), self.htlc_id)

    @property
    def passed_on_msat(self) -> int:
        """What goes on to the client, if it does."""
        return self.incoming_msat - self.fee_msat
