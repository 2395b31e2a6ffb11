"""What a service does about nodes that would not take a channel, what buyers were told, and what peers have answered."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0035_by_which_door"),
    ]

    operations = [
        migrations.CreateModel(
            name="DryRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("node_pubkey", models.CharField(max_length=66)),
                ("capacity_sat", models.BigIntegerField()),
                ("push_sat", models.BigIntegerField()),
                ("announced", models.BooleanField()),
                ("pending_chan_id", models.BinaryField(max_length=32)),
                ("begun_at", models.DateTimeField(db_index=True)),
                (
                    "ended_at",
                    models.DateTimeField(
                        blank=True, help_text="Empty: it is under way, or was left by a death.", null=True
                    ),
                ),
                (
                    "accepted",
                    models.BooleanField(blank=True, help_text="Empty: the peer has said neither.", null=True),
                ),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("detail", models.CharField(blank=True, max_length=300)),
            ],
            options={
                "ordering": ["id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("ended_at", None)), fields=["node_pubkey"], name="dry_run_under_way"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("node_pubkey", "capacity_sat", "push_sat", "announced"), name="dry_run_one_for_channel"
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="service",
            name="preflight",
            field=models.CharField(
                choices=[
                    ("off", "do not look"),
                    ("warn", "say so with the quote"),
                    ("refuse", "sell nothing that would surely fail"),
                ],
                default="warn",
                help_text="What is done where the buyer's node, named at the purchase, would not take the channel.",
                max_length=8,
            ),
        ),
        migrations.AddConstraint(
            model_name="service",
            constraint=models.CheckConstraint(
                condition=models.Q(("preflight__in", ["off", "warn", "refuse"])), name="service_preflight_known"
            ),
        ),
        migrations.AddField(
            model_name="channelorder",
            name="warnings",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="What the buyer was told would keep the channel from opening.",
            ),
        ),
    ]
