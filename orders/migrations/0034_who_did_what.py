"""Who did or saw what, on lines that nobody changes; who hears of what goes wrong, and the day in a few lines."""

import django.db.models.deletion
from django.db import migrations, models

SCHEDULE = "summary"

#: A line of the trail is written once. Who wants one away has to be whoever owns the tables.
GUARDS = """
CREATE FUNCTION orders_trail_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the trail is not changed: what was done and seen stays told'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'trail_stands';
END $$;
CREATE TRIGGER audit_entry_stands BEFORE UPDATE OR DELETE ON orders_auditentry
    FOR EACH ROW EXECUTE FUNCTION orders_trail_stands();
"""
NO_GUARDS = """
DROP TRIGGER audit_entry_stands ON orders_auditentry;
DROP FUNCTION orders_trail_stands();
"""


def schedule(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.get_or_create(
        name=SCHEDULE,
        defaults={
            "func": "watch.tasks.send_summary",
            "kwargs": "{'q_options': {'timeout': 60}}",
            "schedule_type": "I",
            "minutes": 5,
            "repeats": -1,
        },
    )


def make_rules(apps, schema_editor):
    apps.get_model("orders", "AlertRules").objects.get_or_create(pk=1)


def unschedule(apps, schema_editor):
    apps.get_model("django_q", "Schedule").objects.filter(name=SCHEDULE).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0033_notes_stand"),
        ("django_q", "0018_task_success_index"),
    ]

    operations = [
        migrations.AddField(
            model_name="alert",
            name="told_on",
            field=models.CharField(blank=True, help_text="The channels that took it.", max_length=200),
        ),
        migrations.CreateModel(
            name="AlertMute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(blank=True, help_text="A check's or a flag's; empty: all.", max_length=64)),
                ("channel", models.CharField(blank=True, help_text="One URL, hashed; empty: all.", max_length=24)),
                ("reason", models.CharField(max_length=200)),
                ("made_at", models.DateTimeField()),
                ("made_by", models.CharField(max_length=200)),
                ("until", models.DateTimeField()),
                ("lifted_at", models.DateTimeField(blank=True, null=True)),
                ("lifted_by", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "ordering": ["id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("until__gt", models.F("made_at"))), name="mute_ends_after_it_begins"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AlertRules",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("quiet_from", models.TimeField(blank=True, help_text="From then on only losses are told.", null=True)),
                ("quiet_until", models.TimeField(blank=True, null=True)),
                ("summary_at", models.TimeField(blank=True, help_text="Empty: there is no summary.", null=True)),
                ("zone", models.CharField(default="UTC", help_text="Whose clock that is.", max_length=64)),
                (
                    "summed_up",
                    models.DateField(blank=True, editable=False, help_text="The last day that was told of.", null=True),
                ),
            ],
            options={
                "verbose_name": "alert rules",
                "verbose_name_plural": "alert rules",
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("pk", 1)), name="alert_rules_are_one"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("quiet_from__isnull", True), ("quiet_until__isnull", True)),
                            models.Q(("quiet_from__isnull", False), ("quiet_until__isnull", False)),
                            _connector="OR",
                        ),
                        name="quiet_hours_have_both_ends",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(db_index=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("login", "logged in"),
                            ("login_refused", "login refused"),
                            ("login_throttled", "too many guesses"),
                            ("logout", "logged out"),
                            ("password", "password"),
                            ("factor", "second factor"),
                            ("factor_refused", "second factor refused"),
                            ("deed", "deed on an order"),
                            ("deed_refused", "deed refused"),
                            ("switch", "pause, resume"),
                            ("service", "service"),
                            ("ban", "whom we do not serve"),
                            ("books", "books"),
                            ("person", "account"),
                            ("group", "group and its rights"),
                            ("alerts", "alerts"),
                            ("export", "taken away as a file"),
                            ("seen", "saw what is discreet"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "person",
                    models.CharField(
                        help_text="The account, the user of a command; empty: nobody known.", max_length=150
                    ),
                ),
                (
                    "actor",
                    models.CharField(help_text="The same, with how it was shown, and the groups.", max_length=200),
                ),
                ("words", models.CharField(max_length=300)),
                ("facts", models.JSONField(default=dict)),
                (
                    "order",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="audit_entries",
                        to="orders.channelorder",
                    ),
                ),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit entries",
                "ordering": ["id"],
                "indexes": [
                    models.Index(fields=["person", "id"], name="audit_person"),
                    models.Index(fields=["kind", "id"], name="audit_kind"),
                ],
            },
        ),
        migrations.RunSQL(GUARDS, NO_GUARDS),
        migrations.RunPython(schedule, unschedule),
        migrations.RunPython(make_rules, migrations.RunPython.noop),
    ]
