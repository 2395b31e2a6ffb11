"""Forwards, samples and signs of life, and what they and the books come to by day; who reads and adds them up."""

import django.db.models.deletion
from django.db import migrations, models

SCHEDULE = "figures"


def schedule(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.get_or_create(
        name=SCHEDULE,
        defaults={
            "func": "orders.tasks.keep_figures",
            # The first look at a history of many years takes its time.
            "kwargs": "{'q_options': {'timeout': 300}}",
            "schedule_type": "I",
            "minutes": 10,
            "repeats": -1,
        },
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.filter(name=SCHEDULE).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0031_when_leases_end"),
        ("django_q", "0018_task_success_index"),
    ]

    operations = [
        migrations.CreateModel(
            name="MoneyDay",
            fields=[
                ("day", models.DateField(primary_key=True, serialize=False)),
                ("sale_fees_msat", models.BigIntegerField()),
                ("open_cost_msat", models.BigIntegerField()),
                ("bump_cost_msat", models.BigIntegerField()),
                ("close_cost_msat", models.BigIntegerField()),
                ("refund_cost_msat", models.BigIntegerField()),
                ("refund_borne_msat", models.BigIntegerField(help_text="What of that the buyers have borne.")),
                ("losses_msat", models.BigIntegerField()),
                ("channels_msat", models.BigIntegerField(help_text="What went into channels, less what came back.")),
                (
                    "channels_msat_seconds",
                    models.DecimalField(
                        decimal_places=0, help_text="Each of these for the rest of the day.", max_digits=30
                    ),
                ),
            ],
            options={
                "ordering": ["day"],
            },
        ),
        migrations.CreateModel(
            name="RollUp",
            fields=[
                (
                    "name",
                    models.CharField(
                        choices=[
                            ("money", "What the books have"),
                            ("stock", "Capacity and coins"),
                            ("uptime", "Uptime"),
                            ("routing", "Forwards"),
                        ],
                        max_length=16,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("through", models.DateField(help_text="The last day that is added up for good.", null=True)),
                (
                    "whole_from",
                    models.DateField(
                        help_text="The first day of which all is still there that it comes from.", null=True
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="StockDay",
            fields=[
                ("sold_sat", models.BigIntegerField(help_text="In channels that stand, both sides.")),
                ("total_sat", models.BigIntegerField(help_text="Of our coins, what can be sold at all.", null=True)),
                ("promised_sat", models.BigIntegerField(null=True)),
                ("free_sat", models.BigIntegerField(null=True)),
                ("available_sat", models.BigIntegerField(null=True)),
                ("reserved_sat", models.BigIntegerField()),
                ("deep_sat", models.BigIntegerField(help_text="Deep enough to fund channels.", null=True)),
                ("deep_coins", models.PositiveIntegerField(null=True)),
                ("leased_sat", models.BigIntegerField(null=True)),
                ("young_sat", models.BigIntegerField(null=True)),
                ("day", models.DateField(primary_key=True, serialize=False)),
                ("samples", models.PositiveIntegerField()),
                ("least_available_sat", models.BigIntegerField(help_text="Of all samples of the day.", null=True)),
            ],
            options={
                "ordering": ["day"],
            },
        ),
        migrations.CreateModel(
            name="StockSample",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sold_sat", models.BigIntegerField(help_text="In channels that stand, both sides.")),
                ("total_sat", models.BigIntegerField(help_text="Of our coins, what can be sold at all.", null=True)),
                ("promised_sat", models.BigIntegerField(null=True)),
                ("free_sat", models.BigIntegerField(null=True)),
                ("available_sat", models.BigIntegerField(null=True)),
                ("reserved_sat", models.BigIntegerField()),
                ("deep_sat", models.BigIntegerField(help_text="Deep enough to fund channels.", null=True)),
                ("deep_coins", models.PositiveIntegerField(null=True)),
                ("leased_sat", models.BigIntegerField(null=True)),
                ("young_sat", models.BigIntegerField(null=True)),
                ("at", models.DateTimeField(help_text="The hour.", unique=True)),
                ("taken_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["at"],
            },
        ),
        migrations.CreateModel(
            name="Alive",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=32)),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField()),
            ],
            options={
                "verbose_name_plural": "alive",
                "ordering": ["name", "since"],
                "indexes": [models.Index(fields=["name", "-until"], name="alive_last")],
                "constraints": [models.UniqueConstraint(fields=("name", "since"), name="alive_begins_once")],
            },
        ),
        migrations.CreateModel(
            name="UptimeDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("name", models.CharField(max_length=32)),
                ("up_seconds", models.PositiveIntegerField()),
                ("counted_seconds", models.PositiveIntegerField()),
            ],
            options={
                "ordering": ["day", "name"],
                "constraints": [models.UniqueConstraint(fields=("day", "name"), name="uptime_day_once")],
            },
        ),
        migrations.CreateModel(
            name="Forward",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at_ns", models.BigIntegerField(help_text="When it was settled, in nanoseconds.")),
                ("day", models.DateField(help_text="Of UTC.")),
                ("channel_in", models.CharField(help_text="Where it came from: BLOCKxTXxOUTPUT.", max_length=40)),
                ("channel_out", models.CharField(max_length=40)),
                ("htlc_in", models.BigIntegerField(default=-1)),
                ("htlc_out", models.BigIntegerField(default=-1)),
                ("in_msat", models.BigIntegerField()),
                ("out_msat", models.BigIntegerField()),
                (
                    "nth",
                    models.PositiveIntegerField(
                        default=0, help_text="Of several that are alike in all that the node says."
                    ),
                ),
                (
                    "node",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="forwards", to="orders.node"
                    ),
                ),
            ],
            options={
                "ordering": ["at_ns", "id"],
                "indexes": [models.Index(fields=["day"], name="forward_day")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=(
                            "node",
                            "at_ns",
                            "channel_in",
                            "channel_out",
                            "htlc_in",
                            "htlc_out",
                            "in_msat",
                            "out_msat",
                            "nth",
                        ),
                        name="forward_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ForwardDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("channel_in", models.CharField(max_length=40)),
                ("channel_out", models.CharField(max_length=40)),
                ("forwards", models.PositiveIntegerField()),
                ("in_msat", models.BigIntegerField()),
                ("out_msat", models.BigIntegerField()),
                (
                    "node",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="forward_days", to="orders.node"
                    ),
                ),
            ],
            options={
                "ordering": ["day", "id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("node", "day", "channel_in", "channel_out"), name="forward_day_once"
                    )
                ],
            },
        ),
        migrations.RunPython(schedule, unschedule),
    ]
