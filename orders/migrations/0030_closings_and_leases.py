"""Closes that we want, leases that are longer than they were sold, and what we promise to ask for forwarding."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

SCHEDULES = (
    ("expired leases", "orders.tasks.close_expired", 60),
    ("routing fees", "orders.tasks.keep_routing_fees", 10),
)


def schedule(apps, schema_editor):
    for name, func, minutes in SCHEDULES:
        apps.get_model("django_q", "Schedule").objects.get_or_create(
            name=name, defaults={"func": func, "schedule_type": "I", "minutes": minutes, "repeats": -1}
        )


def unschedule(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.filter(name__in=[name for name, _, _ in SCHEDULES]).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0029_indexes_beside_sales"),
    ]

    operations = [
        migrations.CreateModel(
            name="ChannelClosing",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(choices=[("together", "with its peer"), ("forced", "by force")], max_length=16),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("under_way", "Under way"),
                            ("done", "Done"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="waiting",
                        max_length=16,
                    ),
                ),
                (
                    "overrides_lease",
                    models.BooleanField(default=False, help_text="A person wanted it before the lease's end."),
                ),
                ("actor", models.CharField(max_length=200)),
                ("reason", models.CharField(max_length=300)),
                ("created_at", models.DateTimeField(db_index=True)),
                ("tries", models.PositiveIntegerField(default=0, help_text="How often the node was asked.")),
                (
                    "asked_at",
                    models.DateTimeField(
                        blank=True, help_text="Since then the node may be closing it; empty: it is not.", null=True
                    ),
                ),
                ("trouble", models.CharField(blank=True, help_text="Why it waits.", max_length=64)),
                ("detail", models.CharField(blank=True, max_length=300)),
                ("txid", models.CharField(blank=True, max_length=64)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["id"],
                "permissions": [
                    ("close_channel", "Can close a channel whose lease is over"),
                    ("force_close_channel", "Can close a channel by force"),
                    ("override_lease", "Can close a channel before its lease's end"),
                    ("extend_lease", "Can extend a lease as a gift"),
                ],
            },
        ),
        migrations.AddField(
            model_name="channelorder",
            name="lease_gift_blocks",
            field=models.PositiveIntegerField(default=0, help_text="For so long besides, as a gift."),
        ),
        migrations.AddField(
            model_name="channelorder",
            name="most_routing_base_msat",
            field=models.PositiveIntegerField(blank=True, help_text="As promised; empty: not.", null=True),
        ),
        migrations.AddField(
            model_name="channelorder",
            name="most_routing_ppm",
            field=models.PositiveIntegerField(blank=True, help_text="As promised; empty: not.", null=True),
        ),
        migrations.AddField(
            model_name="service",
            name="after_lease",
            field=models.CharField(
                choices=[("leave", "leave it open, and list it"), ("close", "close it, with its peer")],
                default="leave",
                help_text="What becomes of a channel whose lease is over.",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="most_routing_base_msat",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="What we promise to ask at most for each payment over the channel; empty: no promise.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="service",
            name="most_routing_ppm",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="And of its amount, in millionths; both or none.",
                null=True,
                validators=[django.core.validators.MaxValueValidator(1000000)],
            ),
        ),
        migrations.AlterField(
            model_name="switch",
            name="name",
            field=models.CharField(
                choices=[("sales", "Sales"), ("openings", "Openings"), ("closings", "Closings")],
                max_length=16,
                primary_key=True,
                serialize=False,
            ),
        ),
        migrations.AlterField(
            model_name="switchevent",
            name="name",
            field=models.CharField(
                choices=[("sales", "Sales"), ("openings", "Openings"), ("closings", "Closings")], max_length=16
            ),
        ),
        migrations.AddConstraint(
            model_name="service",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("most_routing_base_msat", None), ("most_routing_ppm", None)),
                    models.Q(("most_routing_base_msat__isnull", False), ("most_routing_ppm__isnull", False)),
                    _connector="OR",
                ),
                name="service_promises_whole_fees",
            ),
        ),
        migrations.AddField(
            model_name="channelclosing",
            name="opening",
            field=models.ForeignKey(
                help_text="Whose channel is closed.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="closings",
                to="orders.channelopening",
            ),
        ),
        migrations.AddField(
            model_name="channelclosing",
            name="order",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="closings", to="orders.channelorder"
            ),
        ),
        migrations.AddConstraint(
            model_name="channelclosing",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["under_way", "waiting"])), fields=("order",), name="closing_one_live"
            ),
        ),
        migrations.AddConstraint(
            model_name="channelclosing",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["waiting", "under_way", "done", "withdrawn"])),
                name="closing_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="channelclosing",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["together", "forced"])), name="closing_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="channelclosing",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="closing_has_reason"
            ),
        ),
        migrations.RunPython(schedule, unschedule),
    ]
