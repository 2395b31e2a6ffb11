"""All groups of staff see what was bought just in time, and the parts of payments for it."""

from django.db import migrations

from lsp_site import roles


def give(apps, schema_editor):
    roles.give(apps, "orders.view_jitpurchase")
    roles.give(apps, "orders.view_jitpart")


class Migration(migrations.Migration):
    dependencies = [
        ("lsp_site", "0004_dry_runs"),
        ("orders", "0040_just_in_time"),
    ]
    operations = [migrations.RunPython(give, migrations.RunPython.noop)]
