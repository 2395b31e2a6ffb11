from typing import Any

from django.db import migrations, models


def mark_too_little(apps: Any, schema_editor: Any) -> None:
    """Those that we have kept by ourselves; what staff have kept stays so."""
    refunds = apps.get_model("orders", "Refund").objects
    refunds.filter(state="kept", detail="It is less than sending it costs.").update(too_little=True)


class Migration(migrations.Migration):
    dependencies = [("orders", "0024_what_is_taken_in_no_block")]
    operations = [
        migrations.AddField(
            model_name="channelopening",
            name="surplus_sat",
            field=models.BigIntegerField(
                default=0, help_text="What of both was added, because more had been paid than was asked for."
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="too_little",
            field=models.BooleanField(
                default=False,
                help_text="Kept since sending it would cost too much of it: it goes with what comes later.",
            ),
        ),
        migrations.RunPython(mark_too_little, migrations.RunPython.noop),
    ]
