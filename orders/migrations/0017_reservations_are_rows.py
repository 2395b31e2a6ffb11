"""What is promised to an order is a row; orders that there are get theirs, as firm as they stand.

Held payments that nobody was reached for get their five minutes now: the rules are new to their buyers.
"""

import django.db.models.deletion
from django.db import migrations, models

_FIRMNESS = [
    ("quoted", "Quoted"),
    ("waiting", "Paid, and no room"),
    ("held", "Held"),
    ("reached", "Held, and its node reached"),
    ("firm", "Firm"),
]

#: A live attempt (never two of one order) makes an order firm, and so does money that is ours, or in a block for it.
_FILL = """
INSERT INTO orders_reservation
       (order_id, node_id, client_hash, node_pubkey, value_sat, firmness, since, until, leased_at, gives_way_at)
SELECT o.id, o.lsp_node_id, o.client_hash, o.node_pubkey,
       o.lsp_balance_sat + o.client_balance_sat + o.open_fee_sat,
       CASE WHEN o.state = 'created' AND deposits.sat >= o.order_total_sat THEN 'firm'
            WHEN o.state = 'created' THEN 'quoted'
            WHEN o.state = 'opening' OR a.id IS NOT NULL OR o.counted_payment <> 'lightning'
                 OR i.state IS NULL OR i.state NOT IN ('held', 'returning') THEN 'firm'
            ELSE 'held'
       END,
       o.created_at,
       CASE WHEN o.state = 'created' THEN o.expires_at ELSE now() + interval '5 minutes' END,
       CASE WHEN a.state IN ('funded', 'publishing', 'published')
                 OR a.state = 'cancelling' AND o.state <> 'opening' THEN t.created_at END,
       CASE WHEN i.state = 'returning' AND o.counted_payment = 'lightning' THEN now() END
  FROM orders_channelorder o
  LEFT JOIN orders_holdinvoice i ON i.order_id = o.id
  LEFT JOIN orders_channelopening a ON a.order_id = o.id AND a.state NOT IN ('confirmed', 'failed')
  LEFT JOIN orders_wallettransaction t ON t.id = a.transaction_id
  LEFT JOIN LATERAL (SELECT sum(amount_sat) AS sat FROM orders_onchainpayment d
                      WHERE d.order_id = o.id AND d.state = 'confirmed') AS deposits ON true
 WHERE o.state IN ('created', 'paid', 'uri_set', 'give_up', 'opening')
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0016_what_passes_is_no_fact")]

    operations = [
        migrations.CreateModel(
            name="Reservation",
            fields=[
                (
                    "order",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="reservation",
                        serialize=False,
                        to="orders.channelorder",
                    ),
                ),
                (
                    "node",
                    models.ForeignKey(
                        help_text="Whose coins.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="reservations",
                        to="orders.node",
                    ),
                ),
                (
                    "client_hash",
                    models.CharField(blank=True, help_text="Empty: the buyer's address means nothing.", max_length=64),
                ),
                (
                    "node_pubkey",
                    models.CharField(blank=True, help_text="The buyer's node, where it is named.", max_length=66),
                ),
                ("value_sat", models.BigIntegerField(help_text="The channel, and the fee of its funding.")),
                ("firmness", models.CharField(choices=_FIRMNESS, max_length=16)),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField(help_text="Until then it does not give way to its equals.")),
                (
                    "leased_at",
                    models.DateTimeField(blank=True, help_text="Its coins left the spendable ones.", null=True),
                ),
                (
                    "gives_way_at",
                    models.DateTimeField(blank=True, help_text="It is to go: it counts for nothing.", null=True),
                ),
                ("released_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(firmness__in=[name for name, _ in _FIRMNESS]),
                        name="reservation_firmness_known",
                    ),
                    models.CheckConstraint(condition=models.Q(("value_sat__gt", 0)), name="reservation_has_a_value"),
                ],
                "indexes": [
                    models.Index(
                        condition=models.Q(("released_at__isnull", True)),
                        fields=["firmness", "until"],
                        name="reservation_live",
                    ),
                    models.Index(
                        condition=models.Q(("client_hash", ""), _negated=True),
                        fields=["client_hash", "released_at"],
                        name="reservation_client",
                    ),
                    models.Index(
                        condition=models.Q(("gives_way_at__isnull", False), ("released_at__isnull", True)),
                        fields=["gives_way_at"],
                        name="reservation_going",
                    ),
                ],
            },
        ),
        migrations.RunSQL(_FILL, migrations.RunSQL.noop),
    ]
