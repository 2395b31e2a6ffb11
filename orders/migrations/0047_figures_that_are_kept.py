"""What is counted by day is kept; and whatever changes what a day comes to says so, in the same transaction.

Nothing is counted here: the rounds of the figures do that, and until then it is counted when it is asked for.
"""

import django.contrib.postgres.fields
from django.db import migrations, models

#: A day of the past says that it is to be counted anew. Rows are only ever added: nobody waits for anybody here, and
#: what was taken for mended before we committed is not mended.
STALE = """
CREATE FUNCTION orders_day_begins() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
$$;
CREATE FUNCTION orders_days_are_stale(VARIADIC moments timestamptz[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO orders_staleday (day)
    SELECT DISTINCT (at AT TIME ZONE 'UTC')::date FROM unnest(moments) AS at WHERE at < orders_day_begins()
$$;

CREATE FUNCTION orders_order_is_stale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM orders_days_are_stale(OLD.created_at, OLD.paid_at, OLD.opened_at, OLD.closed_at);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM orders_days_are_stale(NEW.created_at, NEW.paid_at, NEW.opened_at, NEW.closed_at);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER order_comes_late AFTER INSERT ON orders_channelorder FOR EACH ROW
    WHEN (least(NEW.created_at, NEW.paid_at, NEW.opened_at, NEW.closed_at) < orders_day_begins())
    EXECUTE FUNCTION orders_order_is_stale();
CREATE TRIGGER order_changes_late AFTER UPDATE ON orders_channelorder FOR EACH ROW
    WHEN (least(OLD.created_at, OLD.paid_at, OLD.opened_at, OLD.closed_at,
                NEW.created_at, NEW.paid_at, NEW.opened_at, NEW.closed_at) < orders_day_begins()
          AND (OLD.version, OLD.state, OLD.created_at, OLD.paid_at, OLD.claimed_at, OLD.opened_at, OLD.closed_at,
               OLD.give_up_reason, OLD.last_failure_reason, OLD.door, OLD.token, OLD.coupon_id, OLD.discount_sat,
               OLD.lsp_balance_sat, OLD.client_balance_sat, OLD.fee_total_sat, OLD.order_total_sat,
               OLD.lease_ends_at, OLD.lease_ends_height)
              IS DISTINCT FROM
              (NEW.version, NEW.state, NEW.created_at, NEW.paid_at, NEW.claimed_at, NEW.opened_at, NEW.closed_at,
               NEW.give_up_reason, NEW.last_failure_reason, NEW.door, NEW.token, NEW.coupon_id, NEW.discount_sat,
               NEW.lsp_balance_sat, NEW.client_balance_sat, NEW.fee_total_sat, NEW.order_total_sat,
               NEW.lease_ends_at, NEW.lease_ends_height))
    EXECUTE FUNCTION orders_order_is_stale();
CREATE TRIGGER order_goes AFTER DELETE ON orders_channelorder FOR EACH ROW
    WHEN (least(OLD.created_at, OLD.paid_at, OLD.opened_at, OLD.closed_at) < orders_day_begins())
    EXECUTE FUNCTION orders_order_is_stale();

CREATE FUNCTION orders_attempt_is_stale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM orders_days_are_stale(OLD.created_at, (SELECT closed_at FROM orders_channelorder
                                                        WHERE id = OLD.order_id AND OLD.close_type <> ''));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM orders_days_are_stale(NEW.created_at, (SELECT closed_at FROM orders_channelorder
                                                        WHERE id = NEW.order_id AND NEW.close_type <> ''));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER attempt_comes_or_goes AFTER INSERT OR DELETE ON orders_channelopening FOR EACH ROW
    EXECUTE FUNCTION orders_attempt_is_stale();
CREATE TRIGGER attempt_changes AFTER UPDATE ON orders_channelopening FOR EACH ROW
    WHEN ((OLD.order_id, OLD.attempt, OLD.created_at, OLD.state, OLD.failure_reason, OLD.close_type, OLD.close_height)
          IS DISTINCT FROM
          (NEW.order_id, NEW.attempt, NEW.created_at, NEW.state, NEW.failure_reason, NEW.close_type, NEW.close_height))
    EXECUTE FUNCTION orders_attempt_is_stale();

CREATE FUNCTION orders_refund_is_stale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM orders_days_are_stale(
            OLD.created_at, (SELECT created_at FROM orders_channelorder WHERE id = OLD.order_id AND OLD.ends_order));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM orders_days_are_stale(
            NEW.created_at, (SELECT created_at FROM orders_channelorder WHERE id = NEW.order_id AND NEW.ends_order));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER refund_comes_or_goes AFTER INSERT OR DELETE ON orders_refund FOR EACH ROW
    EXECUTE FUNCTION orders_refund_is_stale();
CREATE TRIGGER refund_changes AFTER UPDATE ON orders_refund FOR EACH ROW
    WHEN ((OLD.order_id, OLD.created_at, OLD.state, OLD.amount_sat, OLD.fee_sat, OLD.cause, OLD.ends_order)
          IS DISTINCT FROM
          (NEW.order_id, NEW.created_at, NEW.state, NEW.amount_sat, NEW.fee_sat, NEW.cause, NEW.ends_order))
    EXECUTE FUNCTION orders_refund_is_stale();
"""
NOT_STALE = """
DROP TRIGGER refund_changes ON orders_refund;
DROP TRIGGER refund_comes_or_goes ON orders_refund;
DROP TRIGGER attempt_changes ON orders_channelopening;
DROP TRIGGER attempt_comes_or_goes ON orders_channelopening;
DROP TRIGGER order_goes ON orders_channelorder;
DROP TRIGGER order_changes_late ON orders_channelorder;
DROP TRIGGER order_comes_late ON orders_channelorder;
DROP FUNCTION orders_refund_is_stale();
DROP FUNCTION orders_attempt_is_stale();
DROP FUNCTION orders_order_is_stale();
DROP FUNCTION orders_days_are_stale(VARIADIC timestamptz[]);
DROP FUNCTION orders_day_begins();
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0044_waking_wallets")]

    operations = [
        migrations.CreateModel(
            name="StaleDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
            ],
        ),
        migrations.AddField(
            model_name="rollup",
            name="meaning",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Which statements it was made by, where others make it anew.",
                max_length=64,
            ),
        ),
        migrations.AddField(
            model_name="rollup",
            name="looked_through",
            field=models.DateField(
                help_text="The last day that was compared with what it comes from, one after the other.", null=True
            ),
        ),
        migrations.AddField(
            model_name="rollup",
            name="astray",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="What was found to be kept wrong; empty: nothing.",
                max_length=200,
            ),
        ),
        migrations.AlterField(
            model_name="rollup",
            name="name",
            field=models.CharField(
                choices=[
                    ("money", "What the books have"),
                    ("stock", "Capacity and coins"),
                    ("uptime", "Uptime"),
                    ("routing", "Forwards"),
                    ("figures", "What was asked, paid and sold"),
                ],
                max_length=16,
                primary_key=True,
                serialize=False,
            ),
        ),
        migrations.CreateModel(
            name="DayFigure",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("figure", models.CharField(max_length=16)),
                ("words", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None)),
                (
                    "sums",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.DecimalField(decimal_places=0, max_digits=40), size=None
                    ),
                ),
            ],
            options={
                "ordering": ["figure", "day", "words"],
                "constraints": [
                    models.UniqueConstraint(fields=("figure", "day", "words"), name="day_figure_once"),
                ],
            },
        ),
        migrations.RunSQL(STALE, NOT_STALE),
    ]
