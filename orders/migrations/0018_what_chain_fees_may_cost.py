from django.db import migrations, models

#: What the quote of an order implies, at the settings' defaults. One whose funding is on its way has what that may need,
#: and what conflicts have cost when there was no budget is not held against the order.
BUDGETS = """
UPDATE orders_channelorder SET fee_budget_sat = least(fee_total_sat, greatest(open_fee_sat * 4, 5000));
UPDATE orders_channelorder o SET fee_budget_sat = greatest(o.fee_budget_sat, 2 * t.fee_sat)
  FROM orders_channelopening a JOIN orders_wallettransaction t ON t.id = a.transaction_id
 WHERE a.order_id = o.id AND a.state NOT IN ('confirmed', 'failed');
UPDATE orders_channelorder o SET fee_budget_sat = o.fee_budget_sat + 2 * c.fee_sat
  FROM (SELECT label, sum(fee_sat) AS fee_sat FROM orders_wallettransaction WHERE kind = 'conflict' GROUP BY label) c
 WHERE c.label = 'conflict:' || o.id;
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0017_reservations_are_rows")]
    operations = [
        migrations.AddField(
            model_name="channelorder",
            name="fee_budget_sat",
            field=models.BigIntegerField(
                default=0, help_text="What its transactions may cost in fees, from what it paid."
            ),
            preserve_default=False,
        ),
        migrations.RunSQL(BUDGETS, migrations.RunSQL.noop),
        migrations.AddField(
            model_name="nodesnapshot",
            name="coin_sizes",
            field=models.JSONField(
                null=True,
                help_text="What each of these is worth, the biggest first; the smallest of very many are left out.",
            ),
        ),
        migrations.AddField(
            model_name="nodesnapshot",
            name="coins_aside",
            field=models.JSONField(default=dict, help_text="Coins that fund no channel now: why, how many, how much."),
        ),
        migrations.AlterField(
            model_name="wallettransaction",
            name="kind",
            field=models.CharField(
                choices=[
                    ("funding", "Funding"),
                    ("conflict", "Conflict"),
                    ("split", "Split"),
                    ("consolidation", "Consolidation"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="wallettransaction",
            index=models.Index(
                condition=models.Q(
                    ("kind__in", ["split", "consolidation"]), ("state__in", ["drafted", "signed", "published"])
                ),
                fields=["id"],
                name="transaction_shaping",
            ),
        ),
    ]
