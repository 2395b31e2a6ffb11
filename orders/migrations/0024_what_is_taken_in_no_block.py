import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0023_refunds_that_are_proposed"),
    ]

    operations = [
        migrations.AddField(
            model_name="channelorder",
            name="on_credit",
            field=models.BooleanField(
                default=False, help_text="It was paid by deposits in no block, and they are not deep yet."
            ),
        ),
        migrations.AddField(
            model_name="channelorder",
            name="zero_conf_satvbyte",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Above it a deposit may count in no block, before the order ends; empty: none.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="Credit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount_sat", models.BigIntegerField(help_text="All that the order costs its buyer.")),
                ("given_at", models.DateTimeField()),
                (
                    "seen_at",
                    models.DateTimeField(help_text="When a block or the mempool was last known to have all of it."),
                ),
                (
                    "ended_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="Deep, or gone, or nothing can be delivered for it. Empty: it counts.",
                        null=True,
                    ),
                ),
                (
                    "lost_at",
                    models.DateTimeField(
                        blank=True, help_text="It was gone after its channel's funding was published.", null=True
                    ),
                ),
                (
                    "order",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="credit", to="orders.channelorder"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [
                    models.Index(condition=models.Q(("ended_at__isnull", True)), fields=["id"], name="credit_counts")
                ],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("amount_sat__gt", 0)), name="credit_has_amount"),
                    models.CheckConstraint(
                        condition=models.Q(("lost_at__isnull", True), ("ended_at__isnull", False), _connector="OR"),
                        name="credit_lost_is_over",
                    ),
                ],
            },
        ),
    ]
