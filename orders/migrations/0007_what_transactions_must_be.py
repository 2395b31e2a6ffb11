from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Apart from the change of rows: PostgreSQL adds no constraint to a table with changes still to be checked."""

    dependencies = [
        ("orders", "0006_transactions_have_states"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="channelopening",
            constraint=models.UniqueConstraint(fields=("transaction", "output_index"), name="opening_one_for_output"),
        ),
        migrations.AddConstraint(
            model_name="wallettransaction",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["drafted", "signed", "published", "deep", "excluded"])),
                name="transaction_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="wallettransaction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "signed"), _negated=True), ("raw__isnull", False), _connector="OR"
                ),
                name="transaction_signed_has_bytes",
            ),
        ),
    ]
