"""Managers give coupons out."""

from django.db import migrations

from lsp_site import roles

MODELS = ("coupon", "tokenpattern")


def give(apps, schema_editor):
    roles.give(apps, *(f"orders.*_{model}" for model in MODELS))


class Migration(migrations.Migration):
    dependencies = [
        ("lsp_site", "0002_groups_of_staff"),
        ("orders", "0037_coupons"),
    ]
    operations = [migrations.RunPython(give, migrations.RunPython.noop)]
