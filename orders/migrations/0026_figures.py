"""What the figures are counted by, and how long the node took to answer."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0025_surplus_in_the_channel")]

    operations = [
        migrations.AddField(
            model_name="nodesnapshot",
            name="look_seconds",
            field=models.FloatField(help_text="How long the node took to answer all that this look asked.", null=True),
        ),
        migrations.RemoveIndex(model_name="channelorder", name="order_state"),
        migrations.AddIndex(
            model_name="channelorder",
            index=models.Index(
                fields=["state", "created_at"],
                include=("lsp_balance_sat", "client_balance_sat"),
                name="order_state",
            ),
        ),
        migrations.AddIndex(
            model_name="channelorder",
            index=models.Index(
                condition=models.Q(("paid_at__isnull", False)),
                fields=["paid_at"],
                include=("order_total_sat",),
                name="order_paid",
            ),
        ),
        migrations.AddIndex(
            model_name="channelorder",
            index=models.Index(
                condition=models.Q(("opened_at__isnull", False)),
                fields=["opened_at"],
                include=("paid_at", "lsp_balance_sat", "client_balance_sat", "fee_total_sat"),
                name="order_opened",
            ),
        ),
        migrations.AddIndex(
            model_name="channelorder",
            index=models.Index(
                condition=models.Q(("closed_at__isnull", False)), fields=["closed_at"], name="order_closed"
            ),
        ),
        migrations.AddIndex(
            model_name="channelopening",
            index=models.Index(fields=["created_at"], include=("state", "failure_reason"), name="opening_begun"),
        ),
    ]
