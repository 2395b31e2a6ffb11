"""What is over, and no record of money, goes each day."""

from django.db import migrations

SCHEDULE = "prune"


def schedule(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.get_or_create(
        name=SCHEDULE,
        defaults={
            "func": "watch.tasks.prune",
            # The first time there may be years of it.
            "kwargs": "{'q_options': {'timeout': 300}}",
            "schedule_type": "D",
            "repeats": -1,
        },
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.filter(name=SCHEDULE).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0041_what_an_opening_was_quoted_at"),
        ("django_q", "0018_task_success_index"),
    ]

    operations = [
        migrations.RunPython(schedule, unschedule),
    ]
