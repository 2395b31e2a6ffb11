from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0008_a_node_has_its_row"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="nodesnapshot", name="node_snapshot_is_one"),
        migrations.RemoveField(model_name="nodesnapshot", name="id"),
        migrations.AlterField(
            model_name="nodesnapshot",
            name="node",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE,
                primary_key=True,
                related_name="snapshot",
                serialize=False,
                to="orders.node",
            ),
        ),
        migrations.RemoveField(model_name="nodesnapshot", name="pubkey"),
        migrations.RemoveField(model_name="nodesnapshot", name="deposits_height"),
        migrations.RemoveField(model_name="nodesnapshot", name="deposits_at"),
        migrations.AlterField(
            model_name="channelorder",
            name="lsp_node",
            field=models.ForeignKey(
                help_text="It opens the channel.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="orders",
                to="orders.node",
            ),
        ),
    ]
