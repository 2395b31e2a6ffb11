from django.db import migrations, models

_STATES = [
    ("due", "Due"),
    ("signed", "Signed"),
    ("published", "Published"),
    ("done", "Done"),
    ("withdrawn", "Withdrawn"),
    ("kept", "Kept"),
    ("proposed", "Proposed"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0022_whom_we_do_not_serve"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="refund",
            name="refund_state_known",
        ),
        migrations.AlterField(
            model_name="refund",
            name="state",
            field=models.CharField(choices=_STATES, default="due", max_length=16),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "proposed")), fields=("order",), name="refund_one_proposal"
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", [state for state, _ in _STATES])), name="refund_state_known"
            ),
        ),
    ]
