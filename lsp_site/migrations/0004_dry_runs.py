"""All groups of staff see what peers have answered to dry runs."""

from django.db import migrations

from lsp_site import roles


def give(apps, schema_editor):
    roles.give(apps, "orders.view_dryrun")


class Migration(migrations.Migration):
    dependencies = [
        ("lsp_site", "0003_coupons"),
    ]
    operations = [migrations.RunPython(give, migrations.RunPython.noop)]
