"""Whatever a person has in hand of an order finds it among all that there ever were: built beside the sales."""

from django.contrib.postgres.indexes import HashIndex
from django.contrib.postgres.operations import RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models import Q

from orders.postgres.indexes import IndexBesideOthers

BEGINNINGS = ["varchar_pattern_ops"]


class Migration(migrations.Migration):
    atomic = False  # each index is built outside of any transaction

    dependencies = [("orders", "0042_schedule_of_pruning")]

    operations = [
        IndexBesideOthers(
            model_name="channelorder", index=models.Index(fields=["created_at", "id"], name="order_made")
        ),
        IndexBesideOthers(
            model_name="channelorder",
            index=models.Index(
                fields=["node_pubkey"], name="order_node_begins", condition=~Q(node_pubkey=""), opclasses=BEGINNINGS
            ),
        ),
        RemoveIndexConcurrently(model_name="channelorder", name="order_node"),
        IndexBesideOthers(
            model_name="channelorder",
            index=models.Index(
                fields=["closing_txid"], name="order_closing", condition=~Q(closing_txid=""), opclasses=BEGINNINGS
            ),
        ),
        IndexBesideOthers(
            model_name="channelorder",
            index=models.Index(fields=["refund_address"], name="order_refund_to", condition=~Q(refund_address="")),
        ),
        IndexBesideOthers(
            model_name="channelorder",
            index=models.Index(
                fields=["created_at"],
                name="order_surprise",
                condition=Q(paid_late=True) | Q(underpaid=True) | Q(overpaid=True),
            ),
        ),
        IndexBesideOthers(
            model_name="onchainpayment",
            index=models.Index(fields=["txid"], name="onchain_payment_begins", opclasses=BEGINNINGS),
        ),
        IndexBesideOthers(
            model_name="channelopening",
            index=models.Index(
                fields=["closing_txid"], name="opening_closing", condition=~Q(closing_txid=""), opclasses=BEGINNINGS
            ),
        ),
        IndexBesideOthers(
            model_name="channelopening",
            index=models.Index(fields=["short_channel_id"], name="opening_channel", condition=~Q(short_channel_id="")),
        ),
        IndexBesideOthers(
            model_name="refund",
            index=models.Index(fields=["address"], name="refund_to", condition=~Q(address="")),
        ),
        IndexBesideOthers(
            model_name="holdinvoice",
            index=HashIndex(fields=["payment_request"], name="invoice_request"),
        ),
        IndexBesideOthers(
            model_name="channelopening",
            index=models.Index(
                fields=["node_pubkey", "created_at"], name="opening_of_node", opclasses=[*BEGINNINGS, "timestamptz_ops"]
            ),
        ),
        RemoveIndexConcurrently(model_name="channelopening", name="opening_of_peer"),
        IndexBesideOthers(
            model_name="channelopening",
            index=models.Index(fields=["alias"], name="opening_alias", condition=~Q(alias="")),
        ),
        IndexBesideOthers(
            model_name="orderevent",
            index=models.Index(fields=["cause", "id"], name="event_cause"),
        ),
    ]
