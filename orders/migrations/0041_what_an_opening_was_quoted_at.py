"""At which rate the opening of an order was quoted, where its funding may confirm later than usual."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0040_just_in_time"),
    ]

    operations = [
        migrations.AddField(
            model_name="channelorder",
            name="open_sat_per_kw",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="What its opening was quoted at, which may confirm later; empty: not known.",
                null=True,
            ),
        ),
    ]
