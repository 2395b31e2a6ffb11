from django.db import migrations, models

FIRMNESS = [
    ("quoted", "Quoted"),
    ("waiting", "Paid, and no room"),
    ("held", "Held"),
    ("coming", "On its way on chain"),
    ("reached", "Held, and its node reached"),
    ("firm", "Firm"),
]


class Migration(migrations.Migration):
    dependencies = [("orders", "0018_what_chain_fees_may_cost")]
    operations = [
        migrations.AddField(
            model_name="onchainpayment",
            name="ask_at",
            field=models.DateTimeField(
                blank=True, null=True, help_text="When the chain source is asked about it next."
            ),
        ),
        migrations.AddField(
            model_name="onchainpayment",
            name="foreseen_at",
            field=models.DateTimeField(
                blank=True,
                null=True,
                help_text="In no block, and its fee was first found to be enough: it reserves coins.",
            ),
        ),
        migrations.AddField(
            model_name="onchainpayment",
            name="foreseen_until",
            field=models.DateTimeField(
                blank=True, null=True, help_text="So long that holds without another look at the mempool."
            ),
        ),
        migrations.AlterField(
            model_name="reservation",
            name="firmness",
            field=models.CharField(choices=FIRMNESS, max_length=16),
        ),
        migrations.RemoveConstraint(model_name="reservation", name="reservation_firmness_known"),
        migrations.AddConstraint(
            model_name="reservation",
            constraint=models.CheckConstraint(
                condition=models.Q(("firmness__in", [name for name, _ in FIRMNESS])),
                name="reservation_firmness_known",
            ),
        ),
    ]
