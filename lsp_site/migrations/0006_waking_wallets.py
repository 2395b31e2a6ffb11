"""All groups of staff see which webhooks wallets have registered, and what they were told."""

from django.db import migrations

from lsp_site import roles


def give(apps, schema_editor):
    roles.give(apps, "orders.view_webhook")
    roles.give(apps, "orders.view_wakeup")


class Migration(migrations.Migration):
    dependencies = [
        ("lsp_site", "0005_just_in_time"),
        ("orders", "0044_waking_wallets"),
    ]
    operations = [migrations.RunPython(give, migrations.RunPython.noop)]
