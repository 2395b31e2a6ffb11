from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0012_flags_and_causes_are_found"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="channelorder", name="order_needs_staff"),
        migrations.RemoveField(model_name="channelorder", name="needs_staff"),
        migrations.RemoveField(model_name="channelorder", name="needs_staff_reason"),
        migrations.AddIndex(
            model_name="channelorder",
            index=models.Index(
                condition=models.Q(("standing_flags__gt", 0)), fields=["created_at"], name="order_flagged"
            ),
        ),
    ]
