"""By which interface an order came, the token it came with, and what was promised of its funding."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0034_who_did_what"),
    ]

    operations = [
        migrations.AddField(
            model_name="channelorder",
            name="door",
            field=models.CharField(
                choices=[
                    ("v1", "channel-request API"),
                    ("lsps1_rest", "LSPS1 over REST"),
                    ("lsps1_bolt8", "LSPS1 over Lightning"),
                ],
                default="v1",
                help_text="It came by this interface.",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="channelorder",
            name="funding_confirms_within_blocks",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Its funding is to be in a block so soon after the payment, as asked for.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="channelorder",
            name="required_channel_confirmations",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="The channel is usable at this depth of its funding, as asked for; empty: not.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="channelorder",
            name="token",
            field=models.CharField(
                blank=True,
                default="",
                help_text="As the buyer sent it: a coupon, or what names a wallet.",
                max_length=200,
                null=True,
            ),
        ),
        migrations.AddConstraint(
            model_name="channelorder",
            constraint=models.CheckConstraint(
                condition=models.Q(door__in=["v1", "lsps1_rest", "lsps1_bolt8"]), name="order_door_known"
            ),
        ),
    ]
