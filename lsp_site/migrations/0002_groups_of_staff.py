"""The groups viewer, operator and manager. A group of such a name that a shop has made for itself is left as it is."""

from django.db import migrations

from lsp_site import roles


def make(apps, schema_editor):
    there = set(apps.get_model("auth", "Group").objects.values_list("name", flat=True))
    roles.give(apps, roles=[role for role in roles.Role if role not in there])


class Migration(migrations.Migration):
    dependencies = [
        ("lsp_site", "0001_second_factor"),
        ("orders", "0034_who_did_what"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
