"""What buyers may show with a purchase: coupons that staff give out, and how wallets name themselves."""

from __future__ import annotations

from typing import Any, Final

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q

from orders import blocks, tokens
from orders.options import MAX_EXPIRY_BLOCKS, NODE_MIN_CHANNEL_SAT
from orders.tokens import LONGEST_CODE, SHORTEST_CODE

_VISIBLE = RegexValidator(
    rf"^[!-~]{{{SHORTEST_CODE},{LONGEST_CODE}}}\Z", f"{SHORTEST_CODE} to {LONGEST_CODE} visible ASCII characters."
)
_OWN: Final[dict[str, Any]] = {"null": True, "blank": True}


class Coupon(models.Model):
    """A code with a discount, or sizes and prices of its own: for partners, and for who is owed something."""

    code = models.CharField(
        max_length=LONGEST_CODE, unique=True, validators=[_VISIBLE], help_text="Who has it may use it."
    )
    note = models.CharField(max_length=200, blank=True, help_text="Whom it is for; for staff alone.")
    is_active = models.BooleanField(default=True)
    starts_at = models.DateTimeField(**_OWN, help_text="Empty: at once.")
    ends_at = models.DateTimeField(**_OWN, help_text="Empty: never by itself.")
    most_uses = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Orders that stand or were sold; empty: any number.",
    )
    discount_percent = models.PositiveSmallIntegerField(
        default=0, validators=[MaxValueValidator(100)], help_text="Of what we earn; what the chain costs stays."
    )

    min_channel_sat = models.BigIntegerField(**_OWN, validators=[MinValueValidator(NODE_MIN_CHANNEL_SAT)])
    max_channel_sat = models.BigIntegerField(**_OWN, validators=[MinValueValidator(NODE_MIN_CHANNEL_SAT)])
    max_client_balance_sat = models.BigIntegerField(**_OWN, validators=[MinValueValidator(0)])
    min_expiry_blocks = models.PositiveIntegerField(**_OWN, validators=[MinValueValidator(blocks.WEEK)])
    max_expiry_blocks = models.PositiveIntegerField(
        **_OWN, validators=[MinValueValidator(blocks.WEEK), MaxValueValidator(MAX_EXPIRY_BLOCKS)]
    )
    base_fee_sat = models.BigIntegerField(**_OWN, validators=[MinValueValidator(0)])
    rate_ppm_per_1008_blocks = models.BigIntegerField(
        **_OWN, validators=[MinValueValidator(0), MaxValueValidator(1_000_000)]
    )
    minimum_fee_sat = models.BigIntegerField(**_OWN, validators=[MinValueValidator(1)])

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(name="coupon_takes_no_more_than_all", condition=Q(discount_percent__lte=100)),
            models.CheckConstraint(
                name="coupon_ends_after_it_begins",
                condition=Q(starts_at=None) | Q(ends_at=None) | Q(starts_at__lt=F("ends_at")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code[:4]}…"  # the whole of it is worth money, and more people read pages than may spend it

    @property
    def terms(self) -> tokens.Coupon:
        """What it gives, as `tokens.accept` wants it."""
        names = tokens.Coupon.__dataclass_fields__
        return tokens.Coupon(**{name: getattr(self, name) for name in names})


class TokenPattern(models.Model):
    """How a wallet names itself with a purchase, `*` standing for anything: it is taken, and changes nothing."""

    pattern = models.CharField(
        max_length=LONGEST_CODE,
        unique=True,
        validators=[RegexValidator(r"^[!-~]*[A-Za-z0-9][!-~]*\Z", "Visible ASCII characters, and not `*` alone.")],
        help_text="As AlbyHub/* or btcpay-lsp-plugin.",
    )
    note = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["pattern"]

    def __str__(self) -> str:
        return self.pattern
