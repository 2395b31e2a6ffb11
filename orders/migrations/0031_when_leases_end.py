"""Open channels by their lease's end: built beside a shop that runs."""

from django.db import migrations, models

from orders.postgres.indexes import IndexBesideOthers


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("orders", "0030_closings_and_leases")]

    operations = [
        IndexBesideOthers(
            model_name="channelorder",
            index=models.Index(
                condition=models.Q(("state", "open")), fields=["lease_ends_at"], name="order_lease_ends"
            ),
        ),
    ]
