"""What is on offer."""

from __future__ import annotations

import uuid

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from orders import blocks
from orders.opening_fee import Size
from orders.options import MAX_EXPIRY_BLOCKS, NODE_MIN_CHANNEL_SAT, Limits
from orders.pricing import Tariff


class AfterLease(models.TextChoices):
    """What becomes of a channel when its lease is over."""

    LEAVE = "leave", "leave it open, and list it"
    CLOSE = "close", "close it, with its peer"


class Preflight(models.TextChoices):
    """What is done about a buyer's node that would not take the channel, before it is paid for."""

    OFF = "off", "do not look"
    WARN = "warn", "say so with the quote"
    REFUSE = "refuse", "sell nothing that would surely fail"


class Service(models.Model):
    """One kind of channel that staff put on sale."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    description = models.CharField(max_length=200, default="Channel Liquidity")
    on_sale = models.BooleanField(default=True)
    position = models.PositiveSmallIntegerField(default=0, help_text="The first on sale is the default.")

    min_channel_sat = models.BigIntegerField(
        default=100_000, validators=[MinValueValidator(NODE_MIN_CHANNEL_SAT)], help_text="Both sides together."
    )
    max_channel_sat = models.BigIntegerField(default=16_000_000, validators=[MinValueValidator(NODE_MIN_CHANNEL_SAT)])
    max_client_balance_sat = models.BigIntegerField(
        default=8_000_000, validators=[MinValueValidator(0)], help_text="The most that we push to the client's side."
    )
    min_expiry_blocks = models.PositiveIntegerField(
        default=blocks.WEEK, validators=[MinValueValidator(blocks.WEEK)], help_text="A week has 1,008."
    )
    max_expiry_blocks = models.PositiveIntegerField(
        default=12 * blocks.WEEK, validators=[MinValueValidator(blocks.WEEK), MaxValueValidator(MAX_EXPIRY_BLOCKS)]
    )

    accepts_lightning = models.BooleanField(default=True)
    accepts_onchain = models.BooleanField(default=True)
    announced_by_default = models.BooleanField(
        default=False, help_text="Where neither claim nor purchase says. Wallets on phones refuse public channels."
    )

    preflight = models.CharField(
        max_length=8, choices=Preflight.choices, default=Preflight.WARN,
        help_text="What is done where the buyer's node, named at the purchase, would not take the channel.",
    )  # fmt: skip
    after_lease = models.CharField(
        max_length=8, choices=AfterLease.choices, default=AfterLease.LEAVE,
        help_text="What becomes of a channel whose lease is over.",
    )  # fmt: skip
    most_routing_base_msat = models.PositiveIntegerField(
        null=True, blank=True,
        help_text="What we promise to ask at most for each payment over the channel; empty: no promise.",
    )  # fmt: skip
    most_routing_ppm = models.PositiveIntegerField(
        null=True, blank=True, validators=[MaxValueValidator(1_000_000)],
        help_text="And of its amount, in millionths; both or none.",
    )  # fmt: skip

    sells_jit = models.BooleanField(
        default=False, help_text="Wallets get a first channel while their first payment is on its way (LSPS2)."
    )
    jit_minimum_fee_sat = models.BigIntegerField(
        default=2_500, validators=[MinValueValidator(1)], help_text="At least, besides what the funding costs."
    )
    jit_rate_ppm = models.PositiveIntegerField(
        default=4_000, validators=[MaxValueValidator(500_000)], help_text="Of the payment, in millionths."
    )
    jit_min_payment_sat = models.BigIntegerField(default=10_000, validators=[MinValueValidator(1_000)])
    jit_max_payment_sat = models.BigIntegerField(default=4_000_000, validators=[MinValueValidator(1_000)])
    jit_size_percent = models.PositiveIntegerField(
        default=200, validators=[MinValueValidator(100), MaxValueValidator(1_000)],
        help_text="The channel is so large beside its payment,",
    )  # fmt: skip
    jit_cushion_sat = models.BigIntegerField(
        default=20_000, validators=[MinValueValidator(0)], help_text="and so much larger."
    )
    jit_lifetime_blocks = models.PositiveIntegerField(
        default=30 * blocks.WEEK // 7, validators=[MinValueValidator(144), MaxValueValidator(MAX_EXPIRY_BLOCKS)],
        help_text="It is promised for so long.",
    )  # fmt: skip
    jit_client_trusts_lsp = models.BooleanField(
        default=True,
        help_text="Its funding is published once the payment was taken over it. Off: published first, at our risk.",
    )

    base_fee_sat = models.BigIntegerField(default=1_000, validators=[MinValueValidator(0)])
    rate_ppm_per_1008_blocks = models.BigIntegerField(
        default=500, validators=[MinValueValidator(0), MaxValueValidator(1_000_000)]
    )
    minimum_fee_sat = models.BigIntegerField(default=2_000, validators=[MinValueValidator(1)])

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                name="service_sizes_in_order", condition=models.Q(min_channel_sat__lte=models.F("max_channel_sat"))
            ),
            models.CheckConstraint(
                name="service_terms_in_order", condition=models.Q(min_expiry_blocks__lte=models.F("max_expiry_blocks"))
            ),
            models.CheckConstraint(
                name="service_takes_a_rail", condition=models.Q(accepts_lightning=True) | models.Q(accepts_onchain=True)
            ),
            models.CheckConstraint(
                name="service_promises_whole_fees",
                condition=models.Q(most_routing_base_msat=None, most_routing_ppm=None)
                | models.Q(most_routing_base_msat__isnull=False, most_routing_ppm__isnull=False),
            ),
            models.CheckConstraint(name="service_preflight_known", condition=models.Q(preflight__in=Preflight.values)),
            models.CheckConstraint(name="service_is_not_free", condition=models.Q(minimum_fee_sat__gte=1)),
            models.CheckConstraint(
                name="service_jit_payments_in_order",
                condition=models.Q(jit_min_payment_sat__lte=models.F("jit_max_payment_sat")),
            ),
            models.CheckConstraint(
                name="service_jit_is_not_free",
                condition=models.Q(jit_minimum_fee_sat__gte=1, jit_size_percent__gte=100),
            ),
        ]

    def __str__(self) -> str:
        return self.description

    @property
    def limits(self) -> Limits:
        """The sizes and terms, as `options.check` wants them."""
        return Limits(
            min_channel_sat=self.min_channel_sat,
            max_channel_sat=self.max_channel_sat,
            max_client_balance_sat=self.max_client_balance_sat,
            min_expiry_blocks=self.min_expiry_blocks,
            max_expiry_blocks=self.max_expiry_blocks,
        )

    @property
    def jit_size(self) -> Size:
        """How large a channel is that opens just in time."""
        return Size(self.jit_size_percent, self.jit_cushion_sat, self.min_channel_sat, self.max_channel_sat)

    @property
    def tariff(self) -> Tariff:
        """The price, as `pricing.quote` wants it."""
        return Tariff(
            base_fee_sat=self.base_fee_sat,
            rate_ppm_per_1008_blocks=self.rate_ppm_per_1008_blocks,
            minimum_fee_sat=self.minimum_fee_sat,
            least_blocks=self.min_expiry_blocks,
        )
