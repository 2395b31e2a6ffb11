"""Zero-conf channels: what is committed before the channel exists, who takes none, and what they are called."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0038_found_by_peer_and_coupon"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="channelopening",
            name="opening_one_live_for_order",
        ),
        migrations.RemoveConstraint(
            model_name="channelopening",
            name="opening_one_for_peer",
        ),
        migrations.RemoveConstraint(
            model_name="channelopening",
            name="opening_state_known",
        ),
        migrations.AddField(
            model_name="channelopening",
            name="alias",
            field=models.CharField(
                blank=True, help_text="What the node calls a zero-conf channel, for ever.", max_length=40
            ),
        ),
        migrations.AddField(
            model_name="channelopening",
            name="zero_conf",
            field=models.BooleanField(default=False, help_text="Usable before its funding is in a block."),
        ),
        migrations.AddField(
            model_name="channelorder",
            name="zero_conf_refused_by",
            field=models.CharField(
                blank=True, help_text="The node that has taken no channel before its funding was mined.", max_length=66
            ),
        ),
        migrations.AddField(
            model_name="nodesnapshot",
            name="takes_zero_conf",
            field=models.BooleanField(
                default=False, help_text="It can open channels that are usable before their funding is mined."
            ),
        ),
        migrations.AlterField(
            model_name="channelopening",
            name="state",
            field=models.CharField(
                choices=[
                    ("negotiating", "Negotiating"),
                    ("funded", "Funded, unsigned"),
                    ("committed", "Committed, zero-conf"),
                    ("publishing", "Publishing"),
                    ("published", "Published"),
                    ("confirmed", "Confirmed"),
                    ("conflicting", "Being put out"),
                    ("cancelling", "Cancelling"),
                    ("failed", "Failed"),
                ],
                default="negotiating",
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="channelopening",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        ["cancelling", "committed", "conflicting", "funded", "negotiating", "published", "publishing"],
                    )
                ),
                fields=("order",),
                name="opening_one_live_for_order",
            ),
        ),
        migrations.AddConstraint(
            model_name="channelopening",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["cancelling", "committed", "funded", "negotiating", "publishing"])),
                fields=("node_pubkey",),
                name="opening_one_for_peer",
            ),
        ),
        migrations.AddConstraint(
            model_name="channelopening",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "negotiating",
                            "funded",
                            "committed",
                            "publishing",
                            "published",
                            "confirmed",
                            "conflicting",
                            "cancelling",
                            "failed",
                        ],
                    )
                ),
                name="opening_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="channelopening",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "committed"), _negated=True), ("zero_conf", True), _connector="OR"
                ),
                name="opening_committed_is_zero_conf",
            ),
        ),
    ]
