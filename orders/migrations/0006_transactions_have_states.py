from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

#: Where each transaction is, as its attempt says; what belongs to none (any more) can never be in the chain. Of those
#: that put a funding out, a published one has won where the attempt has failed. The coins of a transaction were leased
#: under the hash of the order's id, which its label ends with.
STATES = """
UPDATE orders_wallettransaction AS t
SET lock_id = sha256(convert_to(CASE WHEN strpos(t.label, ':') > 0
                                     THEN substr(t.label, strpos(t.label, ':') + 1) ELSE '' END, 'UTF8')),
    state = CASE
        WHEN a.state IS NULL THEN 'excluded'
        WHEN t.kind = 'funding' AND a.state = 'confirmed' THEN 'deep'
        WHEN t.kind = 'funding' AND a.state = 'published' THEN 'published'
        WHEN t.kind = 'funding' AND a.state = 'failed' THEN 'excluded'
        WHEN t.kind = 'conflict' AND a.state = 'failed' AND t.published_at IS NOT NULL THEN 'deep'
        WHEN t.kind = 'conflict' AND a.state IN ('confirmed', 'published', 'failed') THEN 'excluded'
        WHEN t.kind = 'conflict' AND a.state = 'conflicting' AND t.published_at IS NOT NULL THEN 'published'
        WHEN t.raw IS NULL THEN 'drafted'
        WHEN t.published_at IS NOT NULL THEN 'published'
        ELSE 'signed'
    END
FROM (
    SELECT w.id, coalesce(f.state, c.state) AS state
    FROM orders_wallettransaction w
    LEFT JOIN orders_channelopening f ON f.transaction_id = w.id
    LEFT JOIN (SELECT conflict_id, max(state) AS state FROM orders_channelopening GROUP BY conflict_id) c
           ON c.conflict_id = w.id
) AS a
WHERE a.id = t.id
"""


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0005_what_a_pass_reads"),
    ]

    operations = [
        migrations.AddField(
            model_name="wallettransaction",
            name="lock_id",
            field=models.BinaryField(default=b"", help_text="Under which the node leases its coins.", max_length=32),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="wallettransaction",
            name="state",
            field=models.CharField(
                choices=[
                    ("drafted", "Drafted, unsigned"),
                    ("signed", "Signed"),
                    ("published", "Published"),
                    ("deep", "Deep"),
                    ("excluded", "Excluded"),
                ],
                default="drafted",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="channelopening",
            name="transaction",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="openings",
                to="orders.wallettransaction",
            ),
        ),
        migrations.RunSQL(STATES, migrations.RunSQL.noop),
    ]
