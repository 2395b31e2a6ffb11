"""What the figures are counted by. Databases that had it from an earlier 0026 have it still; no other is locked."""

from django.contrib.postgres.operations import RemoveIndexConcurrently
from django.db import migrations, models

from orders.postgres.indexes import IndexBesideOthers


class Migration(migrations.Migration):
    atomic = False  # each index is built outside of any transaction

    dependencies = [("orders", "0028_behind")]

    operations = [
        IndexBesideOthers(
            model_name="channelorder",
            index=models.Index(
                condition=models.Q(("paid_at__isnull", False)),
                fields=["paid_at"],
                include=("order_total_sat",),
                name="order_paid",
            ),
        ),
        IndexBesideOthers(
            model_name="channelorder",
            index=models.Index(
                condition=models.Q(("opened_at__isnull", False)),
                fields=["opened_at"],
                include=("paid_at", "lsp_balance_sat", "client_balance_sat", "fee_total_sat"),
                name="order_opened",
            ),
        ),
        IndexBesideOthers(
            model_name="channelorder",
            index=models.Index(
                condition=models.Q(("closed_at__isnull", False)), fields=["closed_at"], name="order_closed"
            ),
        ),
        IndexBesideOthers(
            model_name="channelopening",
            index=models.Index(fields=["created_at"], include=("state", "failure_reason"), name="opening_begun"),
        ),
        RemoveIndexConcurrently(model_name="channelorder", name="order_state"),
        IndexBesideOthers(
            model_name="channelorder",
            index=models.Index(
                fields=["state", "created_at"],
                include=("lsp_balance_sat", "client_balance_sat"),
                name="order_state",
            ),
        ),
    ]
