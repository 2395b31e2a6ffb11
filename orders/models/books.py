"""The books: double entry, written in the transaction of the move. Rows are never changed; the database refuses it."""

from __future__ import annotations

from django.db import models

from orders.models.node import Node
from orders.models.order import ChannelOrder


class Account(models.TextChoices):
    """Where money is (a debit, positive), or whose it is and what became of it (a credit, negative)."""

    # Where it is.
    WALLET = "wallet", "Coins in the wallet"
    LIGHTNING = "lightning", "Lightning payments at the node"
    CHANNELS = "channels", "Our side of sold channels"
    GIVEN = "given", "Given to buyers"
    # Whose it is.
    BUYERS_HELD = "buyers_held", "Buyers' money held"
    BUYERS_ONCHAIN = "buyers_onchain", "Buyers' money on chain"
    REFUNDS_UNDER_WAY = "refunds_under_way", "Refunds under way"
    KEPT = "kept", "Kept for buyers"
    # What became of it.
    REFUNDED = "refunded", "Refunded"
    DELIVERED = "delivered", "Delivered on the buyers' side"
    FEES_EARNED = "fees_earned", "Fees earned"
    CHAIN_FEES = "chain_fees", "Chain fees paid"
    ROUTING_FEES = "routing_fees", "Routing fees"
    CLOSE_COSTS = "close_costs", "Close costs"
    LOSSES = "losses", "Losses"


class EntryKind(models.TextChoices):
    """What an entry is about."""

    PAYMENT = "payment", "Lightning payment"
    DEPOSIT = "deposit", "Deposit"
    OPENING = "opening", "Channel opened"
    FEE = "fee", "Fee of a transaction of ours"
    REFUND = "refund", "Refund on chain"
    BY_HAND = "by_hand", "Returned by hand"
    # What our node does by itself: found in its wallet, once it is deep.
    CHILD = "child", "Child that pays for a transaction of ours"
    CLOSE = "close", "Close of a sold channel"
    SWEEP = "sweep", "Sweep of a closed channel"
    ENDED = "ended", "Sold channel over"
    WRITTEN_OFF = "written_off", "Transaction of ours that was written off, and mined"
    #: By the word of a person, who has seen why the wallet says otherwise.
    CORRECTION = "correction", "Correction by staff"


#: Nobody of us makes these: the wallet alone tells of them.
FOUND_KINDS = (
    EntryKind.CHILD,
    EntryKind.CLOSE,
    EntryKind.SWEEP,
    EntryKind.ENDED,
    EntryKind.WRITTEN_OFF,
    EntryKind.CORRECTION,
)


class Entry(models.Model):
    """One move of money, with its legs. What was wrong is put right by another entry."""

    order = models.ForeignKey(
        ChannelOrder, null=True, blank=True, on_delete=models.PROTECT, related_name="entries",
        help_text="Empty: it is of no order.",
    )  # fmt: skip
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="entries")
    at = models.DateTimeField(db_index=True)
    kind = models.CharField(max_length=16, choices=EntryKind.choices)
    reference = models.CharField(
        max_length=140, unique=True, help_text="What it is about, and the how-manieth of that."
    )
    txid = models.CharField(max_length=64, blank=True, db_index=True, help_text="What moved coins of the wallet.")
    words = models.CharField(max_length=200, blank=True, help_text="Why, and at whose hand, where a person says so.")

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "entries"
        constraints = [
            models.CheckConstraint(name="entry_kind_known", condition=models.Q(kind__in=EntryKind.values)),
        ]

    def __str__(self) -> str:
        return self.reference


class Leg(models.Model):
    """What one account gets (a debit) or gives (a credit). The database sees to it that an entry's sum to zero."""

    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, related_name="legs")
    account = models.CharField(max_length=24, choices=Account.choices)
    amount_msat = models.BigIntegerField(help_text="A debit is positive, a credit negative.")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["entry", "account"], name="leg_once_for_account"),
            models.CheckConstraint(name="leg_account_known", condition=models.Q(account__in=Account.values)),
            models.CheckConstraint(name="leg_moves_something", condition=~models.Q(amount_msat=0)),
        ]
        indexes = [models.Index(fields=["account"], name="leg_account")]

    def __str__(self) -> str:
        return f"{self.account} {self.amount_msat:+}"


class BooksCheck(models.Model):
    """What a look at the books found. The last one is what doctor, alerts and the admin tell of."""

    at = models.DateTimeField(db_index=True)
    adds_up = models.BooleanField()
    words = models.CharField(max_length=300, help_text="In a sentence.")
    facts = models.JSONField(default=dict)

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return self.words
