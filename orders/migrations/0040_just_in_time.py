"""Channels that open just in time: what is sold, what was bought, the parts of payments, and whose they are.

The hash of a payment may come twice from now on, since a payer may try the buyer's own invoice again; our own invoices
keep one each.
"""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0039_zero_conf_channels"),
    ]

    operations = [
        migrations.CreateModel(
            name="JitPart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("chan_id", models.CharField(help_text="The channel that it came by, as a number.", max_length=20)),
                ("htlc_id", models.BigIntegerField()),
                ("payment_hash", models.CharField(max_length=64)),
                ("incoming_msat", models.BigIntegerField()),
                ("incoming_expiry", models.PositiveIntegerField()),
                ("outgoing_msat", models.BigIntegerField(help_text="What the sender wants passed on: his wish alone.")),
                ("outgoing_expiry", models.PositiveIntegerField()),
                (
                    "auto_fail_height",
                    models.PositiveIntegerField(help_text="From this block on our node fails it by itself."),
                ),
                ("heard_at", models.DateTimeField()),
                (
                    "decision",
                    models.CharField(
                        blank=True,
                        choices=[("resume", "passed on"), ("fail", "failed for now"), ("refuse", "refused")],
                        max_length=8,
                    ),
                ),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("fee_msat", models.BigIntegerField(default=0, help_text="What of it is our fee.")),
                ("reason", models.CharField(blank=True, max_length=64)),
            ],
            options={
                "verbose_name": "just-in-time part",
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="JitPurchase",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("node_pubkey", models.CharField(help_text="Who bought it, and gets the channel.", max_length=66)),
                (
                    "scid",
                    models.CharField(
                        help_text="BLOCKxTXxOUTPUT, of a block that there is not: payers name it.",
                        max_length=40,
                        unique=True,
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("valid_until", models.DateTimeField(db_index=True, help_text="No payment begins after this.")),
                (
                    "payment_size_msat",
                    models.BigIntegerField(
                        blank=True, help_text="Of a payment in parts; empty: the first part says it.", null=True
                    ),
                ),
                ("min_fee_msat", models.BigIntegerField()),
                ("proportional_ppm", models.PositiveBigIntegerField()),
                ("min_payment_size_msat", models.BigIntegerField()),
                ("max_payment_size_msat", models.BigIntegerField()),
                ("min_lifetime_blocks", models.PositiveIntegerField(help_text="The channel is promised for so long.")),
                ("max_client_to_self_delay", models.PositiveIntegerField()),
                ("cltv_expiry_delta", models.PositiveIntegerField(help_text="Blocks that payers leave us.")),
                (
                    "opened_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="Since then its number is one of a channel's, and payments are passed on.",
                        null=True,
                    ),
                ),
                (
                    "client_trusts_lsp",
                    models.BooleanField(
                        help_text="The funding is published when the payment was taken; else before it is passed on."
                    ),
                ),
            ],
            options={
                "verbose_name": "just-in-time purchase",
                "ordering": ["id"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="channelopening",
            name="opening_one_live_for_order",
        ),
        migrations.RemoveConstraint(
            model_name="channelopening",
            name="opening_one_for_peer",
        ),
        migrations.RemoveConstraint(
            model_name="channelopening",
            name="opening_state_known",
        ),
        migrations.RemoveConstraint(
            model_name="channelopening",
            name="opening_committed_is_zero_conf",
        ),
        migrations.RemoveConstraint(
            model_name="channelorder",
            name="order_door_known",
        ),
        migrations.AddField(
            model_name="service",
            name="jit_client_trusts_lsp",
            field=models.BooleanField(
                default=True,
                help_text="Its funding is published once the payment was taken over it. Off: published first, at our risk.",
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="jit_cushion_sat",
            field=models.BigIntegerField(
                default=20000, help_text="and so much larger.", validators=[django.core.validators.MinValueValidator(0)]
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="jit_lifetime_blocks",
            field=models.PositiveIntegerField(
                default=4320,
                help_text="It is promised for so long.",
                validators=[
                    django.core.validators.MinValueValidator(144),
                    django.core.validators.MaxValueValidator(524160),
                ],
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="jit_max_payment_sat",
            field=models.BigIntegerField(default=4000000, validators=[django.core.validators.MinValueValidator(1000)]),
        ),
        migrations.AddField(
            model_name="service",
            name="jit_min_payment_sat",
            field=models.BigIntegerField(default=10000, validators=[django.core.validators.MinValueValidator(1000)]),
        ),
        migrations.AddField(
            model_name="service",
            name="jit_minimum_fee_sat",
            field=models.BigIntegerField(
                default=2500,
                help_text="At least, besides what the funding costs.",
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="jit_rate_ppm",
            field=models.PositiveIntegerField(
                default=4000,
                help_text="Of the payment, in millionths.",
                validators=[django.core.validators.MaxValueValidator(500000)],
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="jit_size_percent",
            field=models.PositiveIntegerField(
                default=200,
                help_text="The channel is so large beside its payment,",
                validators=[
                    django.core.validators.MinValueValidator(100),
                    django.core.validators.MaxValueValidator(1000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="sells_jit",
            field=models.BooleanField(
                default=False, help_text="Wallets get a first channel while their first payment is on its way (LSPS2)."
            ),
        ),
        migrations.AlterField(
            model_name="channelopening",
            name="state",
            field=models.CharField(
                choices=[
                    ("negotiating", "Negotiating"),
                    ("funded", "Funded, unsigned"),
                    ("committed", "Committed, zero-conf"),
                    ("carrying", "Carrying its payment, unpublished"),
                    ("publishing", "Publishing"),
                    ("published", "Published"),
                    ("confirmed", "Confirmed"),
                    ("conflicting", "Being put out"),
                    ("cancelling", "Cancelling"),
                    ("failed", "Failed"),
                ],
                default="negotiating",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="channelorder",
            name="door",
            field=models.CharField(
                choices=[
                    ("v1", "channel-request API"),
                    ("lsps1_rest", "LSPS1 over REST"),
                    ("lsps1_bolt8", "LSPS1 over Lightning"),
                    ("lsps2", "LSPS2, just in time"),
                ],
                default="v1",
                help_text="It came by this interface.",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="holdinvoice",
            name="payment_hash",
            field=models.CharField(db_index=True, max_length=64),
        ),
        migrations.AlterField(
            model_name="holdinvoice",
            name="payment_request",
            field=models.TextField(blank=True, help_text="Empty: the buyer's own invoice, passed on to him."),
        ),
        migrations.AddConstraint(
            model_name="channelopening",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "cancelling",
                            "carrying",
                            "committed",
                            "conflicting",
                            "funded",
                            "negotiating",
                            "published",
                            "publishing",
                        ],
                    )
                ),
                fields=("order",),
                name="opening_one_live_for_order",
            ),
        ),
        migrations.AddConstraint(
            model_name="channelopening",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("state__in", ["cancelling", "carrying", "committed", "funded", "negotiating", "publishing"])
                ),
                fields=("node_pubkey",),
                name="opening_one_for_peer",
            ),
        ),
        migrations.AddConstraint(
            model_name="channelopening",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "negotiating",
                            "funded",
                            "committed",
                            "carrying",
                            "publishing",
                            "published",
                            "confirmed",
                            "conflicting",
                            "cancelling",
                            "failed",
                        ],
                    )
                ),
                name="opening_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="channelopening",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state__in", ["committed", "carrying"]), _negated=True),
                    ("zero_conf", True),
                    _connector="OR",
                ),
                name="opening_committed_is_zero_conf",
            ),
        ),
        migrations.AddConstraint(
            model_name="channelorder",
            constraint=models.CheckConstraint(
                condition=models.Q(("door__in", ["v1", "lsps1_rest", "lsps1_bolt8", "lsps2"])), name="order_door_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="holdinvoice",
            constraint=models.UniqueConstraint(
                condition=models.Q(("payment_request", ""), _negated=True),
                fields=("payment_hash",),
                name="invoice_hash_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="service",
            constraint=models.CheckConstraint(
                condition=models.Q(("jit_min_payment_sat__lte", models.F("jit_max_payment_sat"))),
                name="service_jit_payments_in_order",
            ),
        ),
        migrations.AddConstraint(
            model_name="service",
            constraint=models.CheckConstraint(
                condition=models.Q(("jit_minimum_fee_sat__gte", 1), ("jit_size_percent__gte", 100)),
                name="service_jit_is_not_free",
            ),
        ),
        migrations.AddField(
            model_name="jitpart",
            name="order",
            field=models.ForeignKey(
                blank=True,
                help_text="What it pays for, once there are enough.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="jit_parts",
                to="orders.channelorder",
            ),
        ),
        migrations.AddField(
            model_name="jitpurchase",
            name="service",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="jit_purchases", to="orders.service"
            ),
        ),
        migrations.AddField(
            model_name="jitpart",
            name="purchase",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="parts", to="orders.jitpurchase"
            ),
        ),
        migrations.AddIndex(
            model_name="jitpurchase",
            index=models.Index(fields=["node_pubkey", "valid_until"], name="jit_purchase_of_peer"),
        ),
        migrations.AddConstraint(
            model_name="jitpurchase",
            constraint=models.CheckConstraint(
                condition=models.Q(("payment_size_msat", None), ("payment_size_msat__gt", 0), _connector="OR"),
                name="jit_purchase_has_a_size",
            ),
        ),
        migrations.AddConstraint(
            model_name="jitpurchase",
            constraint=models.CheckConstraint(
                condition=models.Q(("min_payment_size_msat__lte", models.F("max_payment_size_msat"))),
                name="jit_purchase_sizes_in_order",
            ),
        ),
        migrations.AddIndex(
            model_name="jitpart",
            index=models.Index(fields=["purchase", "payment_hash"], name="jit_part_of_payment"),
        ),
        migrations.AddIndex(
            model_name="jitpart",
            index=models.Index(condition=models.Q(("decision", "")), fields=["heard_at"], name="jit_part_undecided"),
        ),
        migrations.AddConstraint(
            model_name="jitpart",
            constraint=models.UniqueConstraint(fields=("chan_id", "htlc_id"), name="jit_part_once"),
        ),
        migrations.AddConstraint(
            model_name="jitpart",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("decided_at", None), ("decision", "")),
                    models.Q(models.Q(("decision", ""), _negated=True), ("decided_at__isnull", False)),
                    _connector="OR",
                ),
                name="jit_part_decided_when",
            ),
        ),
        migrations.AddConstraint(
            model_name="jitpart",
            constraint=models.CheckConstraint(
                condition=models.Q(("fee_msat__gte", 0), ("fee_msat__lte", models.F("incoming_msat"))),
                name="jit_part_bears_its_fee",
            ),
        ),
    ]
