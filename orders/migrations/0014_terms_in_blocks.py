"""The term of a channel is counted in blocks: 1,008 where it was a week.

Each column changes its name, its type and its values in one statement and one transaction: no row ever says weeks under
the name of blocks. The rate keeps its number, which is the same for a week of blocks.
"""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models

_TERM = models.PositiveIntegerField(help_text="The channel is promised for so long.")
_LEAST = models.PositiveIntegerField(default=1008, help_text="A week has 1,008.", validators=[MinValueValidator(1008)])
_MOST = models.PositiveIntegerField(default=12096, validators=[MinValueValidator(1008), MaxValueValidator(524160)])


def _in_blocks(model, before, after, field):
    """The renaming of a column, and its weeks as blocks; back again a part of a week is a week."""
    column = f'ALTER TABLE orders_{model} ALTER COLUMN "{after}" TYPE'
    return [
        migrations.RenameField(model_name=model, old_name=before, new_name=after),
        migrations.RunSQL(
            sql=f'{column} integer USING "{after}" * 1008',
            reverse_sql=f'{column} smallint USING ceil("{after}" / 1008.0)',
            state_operations=[migrations.AlterField(model_name=model, name=after, field=field)],
        ),
    ]


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0013_flags_are_rows"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="service", name="service_weeks_in_order"),
        *_in_blocks("channelorder", "weeks", "channel_expiry_blocks", _TERM),
        *_in_blocks("service", "min_weeks", "min_expiry_blocks", _LEAST),
        *_in_blocks("service", "max_weeks", "max_expiry_blocks", _MOST),
        migrations.AddConstraint(
            model_name="service",
            constraint=models.CheckConstraint(
                condition=models.Q(min_expiry_blocks__lte=models.F("max_expiry_blocks")),
                name="service_terms_in_order",
            ),
        ),
        migrations.RenameField(model_name="service", old_name="rate_ppm_per_week", new_name="rate_ppm_per_1008_blocks"),
    ]
