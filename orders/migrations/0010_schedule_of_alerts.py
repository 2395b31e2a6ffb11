"""The task that sends alerts has moved: the schedule's row of a shop that runs already names it where it is now.

One that was queued under its old name before the upgrade fails, and the next minute's does its work.
"""

from django.db import migrations

BEFORE, AFTER = "orders.tasks.send_alerts", "watch.tasks.send_alerts"


def rename(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.filter(func=BEFORE).update(func=AFTER)


def rename_back(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.filter(func=AFTER).update(func=BEFORE)


class Migration(migrations.Migration):
    dependencies = [("orders", "0009_every_order_has_its_node"), ("django_q", "0018_task_success_index")]
    operations = [migrations.RunPython(rename, rename_back)]
