"""How long the node took to answer. The indexes that figures are counted by are 0029's: built while the shop runs."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0025_surplus_in_the_channel")]

    operations = [
        migrations.AddField(
            model_name="nodesnapshot",
            name="look_seconds",
            field=models.FloatField(help_text="How long the node took to answer all that this look asked.", null=True),
        ),
    ]
