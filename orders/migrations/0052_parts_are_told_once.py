"""Our node is told once that a part goes on. It was told so of what has gone on before."""

from django.db import migrations, models
from django.db.models import F, Value


def note_what_went_on(apps, schema_editor):
    went_on = apps.get_model("orders", "JitPart").objects.filter(decision="resume", told_at=None)
    went_on.update(told_at=F("decided_at"))


class Migration(migrations.Migration):
    dependencies = [("orders", "0051_by_which_connection")]

    operations = [
        migrations.AddField(
            model_name="jitpart",
            name="is_done",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Our node has done so: nothing is said of it any more.",
            ),
        ),
        migrations.AddField(
            model_name="jitpart",
            name="moves",
            field=models.JSONField(
                blank=True,
                db_default=Value({}, models.JSONField()),
                default=dict,
                help_text="How often what is in each channel with the buyer's node had changed before it went on.",
            ),
        ),
        migrations.AddField(
            model_name="jitpart",
            name="told_at",
            field=models.DateTimeField(
                blank=True, help_text="Right before our node was told that it goes on.", null=True
            ),
        ),
        migrations.RunPython(note_what_went_on, migrations.RunPython.noop),
    ]
