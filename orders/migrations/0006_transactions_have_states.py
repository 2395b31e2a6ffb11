from __future__ import annotations

import hashlib

import django.db.models.deletion
from django.db import migrations, models

#: (state of the attempt, the transaction is signed, it was published) of a funding, and where that is.
_OF_FUNDINGS = {"confirmed": "deep", "published": "published", "failed": "excluded"}
#: The same of a transaction that puts a funding out, where the attempt is not at it any more.
_OF_CONFLICTS = {"confirmed": "excluded", "published": "excluded", "conflicting": "published"}


def _state(row, attempt, won):
    """Where the transaction is, as its attempt says; what belongs to none (any more) can never be in the chain."""
    if attempt is None:
        return "excluded"
    if row.kind == "conflict" and attempt == "failed":
        return "deep" if won else "excluded"
    known = (_OF_FUNDINGS if row.kind == "funding" else _OF_CONFLICTS).get(attempt)
    if known and not (known == "published" and row.kind == "conflict" and row.published_at is None):
        return known
    if row.raw is None:
        return "drafted"
    return "published" if row.published_at else "signed"


def states(apps, schema_editor):
    ChannelOpening = apps.get_model("orders", "ChannelOpening")
    WalletTransaction = apps.get_model("orders", "WalletTransaction")
    fundings = dict(ChannelOpening.objects.exclude(transaction=None).values_list("transaction", "state"))
    conflicts = dict(ChannelOpening.objects.exclude(conflict=None).values_list("conflict", "state"))
    for row in WalletTransaction.objects.all().iterator(chunk_size=500):
        attempt = fundings.get(row.pk) or conflicts.get(row.pk)
        row.state = _state(row, attempt, won=row.published_at is not None)
        # The coins of a transaction were leased under the hash of the order's id, which its label ends with.
        row.lock_id = hashlib.sha256(row.label.partition(":")[2].encode()).digest()
        row.save(update_fields=["state", "lock_id"])


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
        migrations.RunPython(states, migrations.RunPython.noop),
    ]
