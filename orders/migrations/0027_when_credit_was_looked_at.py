from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0026_figures")]

    operations = [
        migrations.AddField(
            model_name="credit",
            name="looked_at",
            field=models.DateTimeField(blank=True, help_text="When that was last asked.", null=True),
        ),
    ]
