"""A node that was away while its channel opened just in time is known by its connection, which is another then."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0050_refunds_that_are_owed")]

    operations = [
        migrations.AddField(
            model_name="channelopening",
            name="connection",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="By which its node was there when a channel that opens just in time was promised, hashed.",
                max_length=64,
            ),
        ),
    ]
