"""Coupons, how wallets name themselves, and what a coupon took off an order's fees."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

#: How the wallets name themselves that are known to: they are sold to like any other.
KNOWN = {"AlbyHub/*": "Alby Hub", "btcpay-lsp-plugin": "BTCPay Server's plugin"}


def know(apps, schema_editor):
    for pattern, note in KNOWN.items():
        apps.get_model("orders", "TokenPattern").objects.get_or_create(pattern=pattern, defaults={"note": note})


class Migration(migrations.Migration):
    dependencies = [("orders", "0036_preflight")]

    operations = [
        migrations.CreateModel(
            name="TokenPattern",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "pattern",
                    models.CharField(
                        help_text="As AlbyHub/* or btcpay-lsp-plugin.",
                        max_length=64,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[!-~]*[A-Za-z0-9][!-~]*\\Z", "Visible ASCII characters, and not `*` alone."
                            )
                        ],
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=200)),
                ("is_active", models.BooleanField(default=True)),
            ],
            options={
                "ordering": ["pattern"],
            },
        ),
        migrations.CreateModel(
            name="Coupon",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "code",
                    models.CharField(
                        help_text="Who has it may use it.",
                        max_length=64,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[!-~]{8,64}\\Z", "8 to 64 visible ASCII characters."
                            )
                        ],
                    ),
                ),
                ("note", models.CharField(blank=True, help_text="Whom it is for; for staff alone.", max_length=200)),
                ("is_active", models.BooleanField(default=True)),
                ("starts_at", models.DateTimeField(blank=True, help_text="Empty: at once.", null=True)),
                ("ends_at", models.DateTimeField(blank=True, help_text="Empty: never by itself.", null=True)),
                (
                    "most_uses",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Orders that stand or were sold; empty: any number.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "discount_percent",
                    models.PositiveSmallIntegerField(
                        default=0,
                        help_text="Of what we earn; what the chain costs stays.",
                        validators=[django.core.validators.MaxValueValidator(100)],
                    ),
                ),
                (
                    "min_channel_sat",
                    models.BigIntegerField(
                        blank=True, null=True, validators=[django.core.validators.MinValueValidator(20000)]
                    ),
                ),
                (
                    "max_channel_sat",
                    models.BigIntegerField(
                        blank=True, null=True, validators=[django.core.validators.MinValueValidator(20000)]
                    ),
                ),
                (
                    "max_client_balance_sat",
                    models.BigIntegerField(
                        blank=True, null=True, validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                (
                    "min_expiry_blocks",
                    models.PositiveIntegerField(
                        blank=True, null=True, validators=[django.core.validators.MinValueValidator(1008)]
                    ),
                ),
                (
                    "max_expiry_blocks",
                    models.PositiveIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1008),
                            django.core.validators.MaxValueValidator(524160),
                        ],
                    ),
                ),
                (
                    "base_fee_sat",
                    models.BigIntegerField(
                        blank=True, null=True, validators=[django.core.validators.MinValueValidator(0)]
                    ),
                ),
                (
                    "rate_ppm_per_1008_blocks",
                    models.BigIntegerField(
                        blank=True,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(1000000),
                        ],
                    ),
                ),
                (
                    "minimum_fee_sat",
                    models.BigIntegerField(
                        blank=True, null=True, validators=[django.core.validators.MinValueValidator(1)]
                    ),
                ),
            ],
            options={
                "ordering": ["code"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("discount_percent__lte", 100)), name="coupon_takes_no_more_than_all"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("starts_at", None),
                            ("ends_at", None),
                            ("starts_at__lt", models.F("ends_at")),
                            _connector="OR",
                        ),
                        name="coupon_ends_after_it_begins",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="channelorder",
            name="discount_sat",
            field=models.BigIntegerField(default=0, help_text="What its coupon took off these."),
        ),
        migrations.AddField(
            model_name="channelorder",
            name="coupon",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="orders",
                to="orders.coupon",
            ),
        ),
        migrations.AddConstraint(
            model_name="channelorder",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("discount_sat", 0), models.Q(("coupon__isnull", False), ("discount_sat__gt", 0)), _connector="OR"
                ),
                name="order_discount_needs_coupon",
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("login", "logged in"),
                    ("login_refused", "login refused"),
                    ("login_throttled", "too many guesses"),
                    ("logout", "logged out"),
                    ("password", "password"),
                    ("factor", "second factor"),
                    ("factor_refused", "second factor refused"),
                    ("deed", "deed on an order"),
                    ("deed_refused", "deed refused"),
                    ("switch", "pause, resume"),
                    ("service", "service"),
                    ("coupon", "coupons and names of wallets"),
                    ("ban", "whom we do not serve"),
                    ("books", "books"),
                    ("person", "account"),
                    ("group", "group and its rights"),
                    ("alerts", "alerts"),
                    ("export", "taken away as a file"),
                    ("seen", "saw what is discreet"),
                ],
                max_length=16,
            ),
        ),
        migrations.RunPython(know, migrations.RunPython.noop),
    ]
