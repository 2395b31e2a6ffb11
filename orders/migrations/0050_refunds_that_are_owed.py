"""Each purchase sums up what is owed back, and read all that ever went back for it: built beside the sales."""

from django.db import migrations, models

from orders.postgres.indexes import IndexBesideOthers


class Migration(migrations.Migration):
    atomic = False  # each index is built outside of any transaction

    dependencies = [("orders", "0049_indexes_of_figures")]

    operations = [
        IndexBesideOthers(
            model_name="refund",
            index=models.Index(
                fields=["amount_sat"], condition=models.Q(("state__in", ["due", "kept"])), name="refund_owed"
            ),
        ),
    ]
