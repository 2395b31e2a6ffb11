"""What a peer did before, and who has a coupon, is found among all that there ever was: built beside the sales."""

from django.db import migrations, models

from orders.postgres.indexes import IndexBesideOthers


class Migration(migrations.Migration):
    atomic = False  # each index is built outside of any transaction

    dependencies = [("orders", "0037_coupons")]

    operations = [
        IndexBesideOthers(
            model_name="channelopening",
            index=models.Index(fields=["node_pubkey", "created_at"], name="opening_of_peer"),
        ),
        IndexBesideOthers(
            model_name="channelorder",
            index=models.Index(condition=models.Q(("coupon__isnull", False)), fields=["coupon"], name="order_coupon"),
        ),
    ]
