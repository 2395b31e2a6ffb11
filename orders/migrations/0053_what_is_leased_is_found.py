"""Whoever sells reads what is leased, of all that is reserved, and nothing else: built beside the sales."""

from django.db import migrations, models

from orders.postgres.indexes import IndexBesideOthers


class Migration(migrations.Migration):
    atomic = False  # the index is built outside of any transaction

    dependencies = [("orders", "0052_parts_are_told_once")]

    operations = [
        IndexBesideOthers(
            model_name="reservation",
            index=models.Index(
                fields=["leased_at"],
                condition=models.Q(("leased_at__isnull", False), ("released_at__isnull", True)),
                name="reservation_leased",
            ),
        ),
    ]
