"""One service on sale, and the minute's schedule."""

from django.db import migrations


def make(apps, schema_editor):
    # Unannounced, which a shop made before that was the default is not: its services stay as they are.
    apps.get_model("orders", "Service").objects.create(announced_by_default=False)
    Schedule = apps.get_model("django_q", "Schedule")
    Schedule.objects.get_or_create(
        name="reconcile",
        defaults={"func": "orders.tasks.reconcile_all", "schedule_type": "I", "minutes": 1, "repeats": -1},
    )


class Migration(migrations.Migration):
    dependencies = [("orders", "0001_initial"), ("django_q", "0018_task_success_index")]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
