"""Where wallets are told that they are wanted while they are away, and what they were told."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0043_whatever_is_in_hand"),
    ]

    operations = [
        migrations.CreateModel(
            name="Webhook",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("node_pubkey", models.CharField(help_text="Whose it is.", max_length=66)),
                ("app_name", models.CharField(max_length=64)),
                ("url", models.CharField(help_text="A secret of the wallet's: shown to nobody.", max_length=1024)),
                ("set_at", models.DateTimeField()),
                ("needed_at", models.DateTimeField(help_text="When its wallet last had a channel, or registered it.")),
                ("looked_at", models.DateTimeField(help_text="When we last looked whether it has one.")),
            ],
            options={
                "ordering": ["id"],
                "constraints": [
                    models.UniqueConstraint(fields=("node_pubkey", "app_name"), name="webhook_of_a_name_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="WakeUp",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "method",
                    models.CharField(
                        choices=[
                            ("lsps5.webhook_registered", "registered"),
                            ("lsps5.payment_incoming", "payment incoming"),
                            ("lsps5.expiry_soon", "expiry soon"),
                            ("lsps5.liquidity_management_request", "liquidity taken back"),
                        ],
                        max_length=40,
                    ),
                ),
                (
                    "timeout_height",
                    models.PositiveIntegerField(blank=True, help_text="Of what expires soon.", null=True),
                ),
                ("created_at", models.DateTimeField()),
                ("next_at", models.DateTimeField(help_text="It is sent, or tried again, then.")),
                ("failures", models.PositiveSmallIntegerField(default=0)),
                ("last_failure", models.CharField(blank=True, max_length=100)),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("delivered", "delivered"),
                            ("there", "wallet is there"),
                            ("replaced", "webhook replaced"),
                            ("given_up", "given up"),
                        ],
                        max_length=10,
                    ),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "came_at",
                    models.DateTimeField(blank=True, help_text="Since then its wallet was there again.", null=True),
                ),
                (
                    "webhook",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="wake_ups", to="orders.webhook"
                    ),
                ),
            ],
            options={
                "verbose_name": "wake-up",
                "ordering": ["id"],
                "indexes": [
                    models.Index(condition=models.Q(("outcome", "")), fields=["next_at"], name="wake_up_due"),
                    models.Index(
                        condition=models.Q(("outcome", ""), _negated=True), fields=["ended_at"], name="wake_up_ended"
                    ),
                    models.Index(fields=["webhook", "method", "created_at"], name="wake_up_lately"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "method__in",
                                [
                                    "lsps5.webhook_registered",
                                    "lsps5.payment_incoming",
                                    "lsps5.expiry_soon",
                                    "lsps5.liquidity_management_request",
                                ],
                            )
                        ),
                        name="wake_up_method_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("ended_at", None), ("outcome", "")),
                            models.Q(models.Q(("outcome", ""), _negated=True), ("ended_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="wake_up_ended_when",
                    ),
                ],
            },
        ),
    ]
