"""One attempt to open an order's channel, and the channel that came of it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Coalesce, NullIf

from orders.ids import short
from orders.models.order import ChannelOrder
from orders.models.transaction import WalletTransaction
from orders.states import LIVE_OPENINGS, PEER_OCCUPYING, OpeningState


class ChannelOpening(models.Model):
    """One attempt. A live one excludes every other of its order."""

    order = models.ForeignKey(ChannelOrder, on_delete=models.PROTECT, related_name="openings")
    attempt = models.PositiveIntegerField()
    state = models.CharField(max_length=16, choices=OpeningState.choices, default=OpeningState.NEGOTIATING)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    pending_chan_id = models.BinaryField(max_length=32)
    node_pubkey = models.CharField(max_length=66)
    node_host = models.CharField(max_length=260, blank=True)
    announced = models.BooleanField()
    zero_conf = models.BooleanField(default=False, help_text="Usable before its funding is in a block.")
    capacity_sat = models.BigIntegerField()
    push_sat = models.BigIntegerField()
    surplus_sat = models.BigIntegerField(
        default=0, help_text="What of both was added, because more had been paid than was asked for."
    )

    transaction = models.ForeignKey(
        WalletTransaction, null=True, blank=True, on_delete=models.PROTECT, related_name="openings"
    )
    output_index = models.PositiveIntegerField(null=True, blank=True)
    conflict = models.ForeignKey(
        WalletTransaction, null=True, blank=True, on_delete=models.PROTECT, related_name="puts_out"
    )
    failure_reason = models.CharField(max_length=64, blank=True)
    failure_detail = models.CharField(max_length=300, blank=True)

    connection = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="By which its node was there when a channel that opens just in time was promised, hashed.",
    )
    short_channel_id = models.CharField(max_length=40, blank=True, help_text="BLOCKxTXxOUTPUT")
    alias = models.CharField(max_length=40, blank=True, help_text="What the node calls a zero-conf channel, for ever.")
    closing_txid = models.CharField(max_length=64, blank=True)
    close_height = models.PositiveIntegerField(null=True, blank=True)
    close_type = models.CharField(max_length=32, blank=True)

    class Meta:
        ordering = ["order", "attempt"]
        indexes = [
            models.Index(fields=["created_at"], name="opening_begun", include=["state", "failure_reason"]),  # figures
            models.Index(  # what a peer did before
                fields=["node_pubkey", "created_at"],
                name="opening_of_node",
                opclasses=["varchar_pattern_ops", "timestamptz_ops"],
            ),
            models.Index(fields=["alias"], name="opening_alias", condition=~Q(alias="")),
            models.Index(  # as the node's history of forwards calls it, see figures.sold
                Coalesce(NullIf("alias", Value("")), "short_channel_id"),
                name="opening_known_as",
                condition=Q(state__in=["published", "confirmed"]),
            ),
            models.Index(
                fields=["closing_txid"],
                name="opening_closing",
                condition=~Q(closing_txid=""),
                opclasses=["varchar_pattern_ops"],
            ),
            models.Index(fields=["short_channel_id"], name="opening_channel", condition=~Q(short_channel_id="")),
        ]
        constraints = [
            models.UniqueConstraint(fields=["order", "attempt"], name="opening_numbered"),
            models.UniqueConstraint(
                fields=["order"], name="opening_one_live_for_order", condition=Q(state__in=sorted(LIVE_OPENINGS))
            ),
            models.UniqueConstraint(
                fields=["node_pubkey"], name="opening_one_for_peer", condition=Q(state__in=sorted(PEER_OCCUPYING))
            ),
            models.CheckConstraint(name="opening_state_known", condition=Q(state__in=OpeningState.values)),
            models.CheckConstraint(
                name="opening_committed_is_zero_conf",
                condition=~Q(state__in=["committed", "carrying"]) | Q(zero_conf=True),
            ),
            # A transaction carries several openings, each with an output of its own.
            models.UniqueConstraint(fields=["transaction", "output_index"], name="opening_one_for_output"),
            models.CheckConstraint(
                name="opening_committed_has_transaction",
                condition=Q(state__in=["negotiating", "cancelling", "failed"]) | Q(transaction__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{short(self.order_id)} #{self.attempt}"

    @property
    def is_live(self) -> bool:
        """Nothing else may be tried for the order."""
        return self.state in LIVE_OPENINGS

    @property
    def funding_outpoint(self) -> str:
        """`txid:index`, or "" before it is known."""
        if self.transaction is None or self.output_index is None:
            return ""
        return f"{self.transaction.txid}:{self.output_index}"
