from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0015_who_takes_no_public_channel")]
    operations = [
        migrations.AddField(
            model_name="node",
            name="deposits_reread_at",
            field=models.DateTimeField(
                blank=True, null=True, help_text="When they were last read again from far back."
            ),
        ),
        migrations.AddField(
            model_name="nodesnapshot",
            name="synced_at",
            field=models.DateTimeField(blank=True, null=True, help_text="When it last said that it is synced."),
        ),
        migrations.AlterField(
            model_name="nodesnapshot",
            name="spendable_sat",
            field=models.BigIntegerField(help_text="Unleased native coins, deep enough to fund channels."),
        ),
        migrations.AlterField(
            model_name="nodesnapshot",
            name="synced_to_chain",
            field=models.BooleanField(help_text="False for a moment at each block."),
        ),
    ]
