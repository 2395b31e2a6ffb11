"""What staff can switch off, and what they are told of: looked for every minute."""

from django.db import migrations, models

SWITCHES = [("sales", "Sales"), ("openings", "Openings")]


def make(apps, schema_editor):
    Schedule = apps.get_model("django_q", "Schedule")
    Schedule.objects.get_or_create(
        name="alerts",
        defaults={
            "func": "orders.tasks.send_alerts",
            # A receiver that hangs must not keep one of the queue's processes.
            "kwargs": "{'q_options': {'timeout': 60}}",
            "schedule_type": "I",
            "minutes": 1,
            "repeats": -1,
        },
    )


class Migration(migrations.Migration):
    dependencies = [("orders", "0002_first_service"), ("django_q", "0018_task_success_index")]
    operations = [
        migrations.CreateModel(
            name="Switch",
            fields=[
                ("name", models.CharField(choices=SWITCHES, max_length=16, primary_key=True, serialize=False)),
                ("on", models.BooleanField()),
                (
                    "reason",
                    models.CharField(blank=True, help_text="Buyers are told why sales are paused.", max_length=200),
                ),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=200)),
            ],
            options={
                "verbose_name_plural": "switches",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("on", True), models.Q(("reason", ""), _negated=True), _connector="OR"),
                        name="switch_off_has_reason",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SwitchEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(choices=SWITCHES, max_length=16)),
                ("on", models.BooleanField()),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=200)),
            ],
            options={"ordering": ["id"]},
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "key",
                    models.CharField(
                        help_text="What is wrong: a check's name, or an order and its reason.", max_length=255
                    ),
                ),
                ("message", models.TextField()),
                ("since", models.DateTimeField()),
                ("sent_at", models.DateTimeField(blank=True, help_text="Empty: nobody was told yet.", null=True)),
                ("cleared_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("cleared_at__isnull", True)), fields=("key",), name="alert_stands_once"
                    )
                ],
            },
        ),
        migrations.RunPython(make, migrations.RunPython.noop),
    ]
