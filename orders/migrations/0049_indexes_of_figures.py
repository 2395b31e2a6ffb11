"""What figures ask is found among all that there ever was: built beside the sales."""

from django.db import migrations, models
from django.db.models.functions import Coalesce, NullIf

from orders.postgres.indexes import IndexBesideOthers


class Migration(migrations.Migration):
    atomic = False  # each index is built outside of any transaction

    dependencies = [("orders", "0048_what_orders_have_earned")]

    operations = [
        IndexBesideOthers(model_name="refund", index=models.Index(fields=["created_at"], name="refund_made")),
        IndexBesideOthers(
            model_name="channelopening",
            index=models.Index(
                Coalesce(NullIf("alias", models.Value("")), "short_channel_id"),
                condition=models.Q(("state__in", ["published", "confirmed"])),
                name="opening_known_as",
            ),
        ),
        IndexBesideOthers(model_name="forwardday", index=models.Index(fields=["day"], name="forward_of_day")),
        IndexBesideOthers(model_name="forwardday", index=models.Index(fields=["channel_in"], name="forward_came")),
        IndexBesideOthers(model_name="forwardday", index=models.Index(fields=["channel_out"], name="forward_went")),
    ]
