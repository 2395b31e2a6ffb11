"""Staff list whom we do not serve, and who paid a deposit is recorded where a chain source tells it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0021_the_books"),
    ]

    operations = [
        migrations.AddField(
            model_name="onchainpayment",
            name="payers",
            field=models.JSONField(
                blank=True, help_text="The scripts of the coins that paid it; empty: nobody could tell us.", null=True
            ),
        ),
        migrations.CreateModel(
            name="Ban",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("node", "node"),
                            ("host", "node host"),
                            ("refund_address", "refund address"),
                            ("payer", "payer's address"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "value",
                    models.CharField(
                        help_text="A node's key; a host, .suffix or network such as 203.0.113.0/24; or an address.",
                        max_length=255,
                    ),
                ),
                (
                    "reason",
                    models.CharField(help_text="For staff alone: whoever is refused is not told.", max_length=300),
                ),
                ("created_at", models.DateTimeField()),
                ("created_by", models.CharField(max_length=200)),
                (
                    "until",
                    models.DateTimeField(
                        blank=True, help_text="It ends by itself then; empty: when it is lifted.", null=True
                    ),
                ),
                (
                    "lifted_at",
                    models.DateTimeField(blank=True, help_text="Empty: it stands, or has ended by itself.", null=True),
                ),
                ("lifted_by", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "ordering": ["id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("lifted_at__isnull", True)),
                        fields=("kind", "value"),
                        name="ban_stands_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["node", "host", "refund_address", "payer"])),
                        name="ban_kind_known",
                    ),
                    models.CheckConstraint(condition=models.Q(("reason", ""), _negated=True), name="ban_has_reason"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("lifted_at__isnull", True), ("lifted_by", "")),
                            models.Q(("lifted_at__isnull", False), models.Q(("lifted_by", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="ban_lifted_by_somebody",
                    ),
                ],
            },
        ),
    ]
