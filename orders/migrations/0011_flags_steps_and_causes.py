from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

PAUSE_CAUSES = [("staff", "by staff"), ("behind", "our records are behind the node")]


class Migration(migrations.Migration):
    """What the next one fills, and the one after it makes the only place: PostgreSQL alters no table with changes
    still to be checked.
    """

    dependencies = [
        ("orders", "0010_schedule_of_alerts"),
    ]

    operations = [
        migrations.CreateModel(
            name="Flag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(help_text="One of orders.causes.FlagKind.", max_length=32)),
                ("words", models.CharField(max_length=300)),
                ("raised_at", models.DateTimeField()),
                ("raised_by", models.CharField(max_length=200)),
                ("lowered_at", models.DateTimeField(blank=True, help_text="Empty: it stands.", null=True)),
                ("lowered_by", models.CharField(blank=True, max_length=200)),
                (
                    "order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="flags", to="orders.channelorder"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("lowered_at__isnull", True)),
                        fields=("order", "kind"),
                        name="flag_stands_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("lowered_at__isnull", True), ("lowered_by", "")),
                            models.Q(("lowered_at__isnull", False), models.Q(("lowered_by", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="flag_lowered_by_somebody",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="channelorder",
            name="standing_flags",
            field=models.PositiveSmallIntegerField(default=0, help_text="How many of its flags stand."),
        ),
        migrations.AddField(
            model_name="channelorder",
            name="step",
            field=models.PositiveIntegerField(
                default=0, help_text="Counts the moves of the order, its payment and attempts."
            ),
        ),
        migrations.AddField(
            model_name="switch",
            name="cause",
            field=models.CharField(choices=PAUSE_CAUSES, default="staff", max_length=16),
        ),
        migrations.AddField(
            model_name="switchevent",
            name="cause",
            field=models.CharField(choices=PAUSE_CAUSES, default="staff", max_length=16),
        ),
        migrations.AddField(
            model_name="switchevent",
            name="named",
            field=models.JSONField(blank=True, default=list, help_text="What the node has and our records had not."),
        ),
        migrations.AlterField(
            model_name="alert",
            name="key",
            field=models.CharField(help_text="What is wrong: a check's name, or a flag's number.", max_length=255),
        ),
        migrations.AlterField(
            model_name="orderevent",
            name="cause",
            field=models.CharField(help_text="One of orders.causes.Cause.", max_length=64),
        ),
    ]
