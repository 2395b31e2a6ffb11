"""The node that has refused a public channel is kept with the order; what is sold is unannounced by default.

Services that there are stay as they are: 0002 makes the first one of a new shop unannounced.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0014_terms_in_blocks")]
    operations = [
        migrations.AddField(
            model_name="channelorder",
            name="announce_refused_by",
            field=models.CharField(
                blank=True,
                default="",
                help_text="The node that has taken no public channel, where nobody asked for one.",
                max_length=66,
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="service",
            name="announced_by_default",
            field=models.BooleanField(
                default=False,
                help_text="Where neither claim nor purchase says. Wallets on phones refuse public channels.",
            ),
        ),
    ]
