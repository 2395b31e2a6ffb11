from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models
from django.utils import timezone


def one_node(apps, schema_editor):
    """All that there is belongs to the one node that was ever seen."""
    Node, NodeSnapshot = apps.get_model("orders", "Node"), apps.get_model("orders", "NodeSnapshot")
    ChannelOrder, Heartbeat = apps.get_model("orders", "ChannelOrder"), apps.get_model("orders", "Heartbeat")
    seen = NodeSnapshot.objects.first()
    if seen is None and not ChannelOrder.objects.exists():
        return
    node = Node.objects.create(
        pubkey=seen.pubkey if seen else "",  # taken from the node when it is seen
        first_seen_at=timezone.now(),
        deposits_height=seen.deposits_height if seen else 0,
        deposits_at=seen.deposits_at if seen else None,
    )
    NodeSnapshot.objects.update(node=node)
    ChannelOrder.objects.update(lsp_node=node)
    Heartbeat.objects.filter(name="streams").update(node=node)


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0007_what_transactions_must_be"),
    ]

    operations = [
        migrations.CreateModel(
            name="Node",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("pubkey", models.CharField(max_length=66, unique=True)),
                ("first_seen_at", models.DateTimeField()),
                (
                    "deposits_height",
                    models.PositiveIntegerField(default=0, help_text="Deposits were read up to this block."),
                ),
                (
                    "deposits_at",
                    models.DateTimeField(blank=True, help_text="When deposits were last read.", null=True),
                ),
            ],
            options={"ordering": ["id"]},
        ),
        migrations.AddField(
            model_name="nodesnapshot",
            name="node",
            field=models.OneToOneField(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="snapshot", to="orders.node"
            ),
        ),
        migrations.AddField(
            model_name="channelorder",
            name="lsp_node",
            field=models.ForeignKey(
                help_text="It opens the channel.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="orders",
                to="orders.node",
            ),
        ),
        migrations.AddField(
            model_name="heartbeat",
            name="node",
            field=models.ForeignKey(
                blank=True,
                help_text="Whom it listens to; empty: not yet.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                to="orders.node",
            ),
        ),
        migrations.RunPython(one_node, migrations.RunPython.noop),
    ]
