"""What orders have earned that are over is kept; and whatever moves one late says so, in the same transaction.

Nothing is reckoned here: the rounds of the figures do that, and until then it is reckoned when it is asked for.
"""

import django.db.models.deletion
from django.db import migrations, models

#: Rows are only ever added, as with days. Of orders that were made today nothing is kept, unless they came with the past.
STALE = """
CREATE FUNCTION orders_order_is_moved(which uuid, moved_at timestamptz) RETURNS void LANGUAGE sql AS $$
    INSERT INTO orders_staleorder (order_id)
    SELECT id FROM orders_channelorder WHERE id = which AND least(created_at, moved_at) < orders_day_begins()
$$;

CREATE FUNCTION orders_entry_moves_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM orders_order_is_moved(NEW.order_id, NEW.at);
    RETURN NULL;
END $$;
CREATE TRIGGER entry_moves_order AFTER INSERT ON orders_entry FOR EACH ROW WHEN (NEW.order_id IS NOT NULL)
    EXECUTE FUNCTION orders_entry_moves_order();

-- Of a forward between two channels that we sold one alone earns: where one of them is another, so may the other be.
CREATE FUNCTION orders_channel_is_another(known_as text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO orders_staleorder (order_id)
    SELECT DISTINCT a.order_id FROM orders_channelopening a
     WHERE a.state IN ('published', 'confirmed') AND coalesce(nullif(a.alias, ''), a.short_channel_id) IN (
        SELECT channel_in FROM orders_forwardday WHERE channel_out = known_as
         UNION SELECT channel_out FROM orders_forwardday WHERE channel_in = known_as)
$$;
CREATE FUNCTION orders_attempt_moves_order() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_order uuid := CASE WHEN TG_OP = 'DELETE' THEN OLD.order_id ELSE NEW.order_id END;
BEGIN
    PERFORM orders_order_is_moved(of_order, now());
    IF TG_OP <> 'INSERT' AND coalesce(nullif(OLD.alias, ''), OLD.short_channel_id) <> '' THEN
        PERFORM orders_channel_is_another(coalesce(nullif(OLD.alias, ''), OLD.short_channel_id));
    END IF;
    PERFORM orders_channel_is_another(coalesce(nullif(alias, ''), short_channel_id)) FROM orders_channelopening
     WHERE order_id = of_order AND coalesce(nullif(alias, ''), short_channel_id) <> '';
    RETURN NULL;
END $$;
CREATE TRIGGER attempt_moves_order AFTER INSERT OR DELETE ON orders_channelopening FOR EACH ROW
    EXECUTE FUNCTION orders_attempt_moves_order();
CREATE TRIGGER attempt_is_another AFTER UPDATE ON orders_channelopening FOR EACH ROW
    WHEN ((OLD.attempt, OLD.state IN ('published', 'confirmed'), OLD.alias, OLD.short_channel_id, OLD.capacity_sat)
          IS DISTINCT FROM
          (NEW.attempt, NEW.state IN ('published', 'confirmed'), NEW.alias, NEW.short_channel_id, NEW.capacity_sat))
    EXECUTE FUNCTION orders_attempt_moves_order();

CREATE FUNCTION orders_opened_moves_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM orders_order_is_moved(NEW.id, now());
    RETURN NULL;
END $$;
CREATE TRIGGER order_opened_late AFTER UPDATE ON orders_channelorder FOR EACH ROW
    WHEN (OLD.opened_at IS DISTINCT FROM NEW.opened_at) EXECUTE FUNCTION orders_opened_moves_order();

-- Forwards are read, and orders kept, by whoever holds the lock of the figures: so what is kept is seen here.
CREATE FUNCTION orders_forward_moves_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO orders_staleorder (order_id)
    SELECT DISTINCT a.order_id FROM orders_channelopening a JOIN orders_orderearned e USING (order_id)
     WHERE a.state IN ('published', 'confirmed') AND e.is_over
       AND coalesce(nullif(alias, ''), short_channel_id) IN (NEW.channel_in, NEW.channel_out);
    RETURN NULL;
END $$;
CREATE TRIGGER forward_moves_order AFTER INSERT OR UPDATE ON orders_forwardday FOR EACH ROW
    EXECUTE FUNCTION orders_forward_moves_order();
"""
NOT_STALE = """
DROP TRIGGER forward_moves_order ON orders_forwardday;
DROP TRIGGER order_opened_late ON orders_channelorder;
DROP TRIGGER attempt_is_another ON orders_channelopening;
DROP TRIGGER attempt_moves_order ON orders_channelopening;
DROP TRIGGER entry_moves_order ON orders_entry;
DROP FUNCTION orders_forward_moves_order();
DROP FUNCTION orders_opened_moves_order();
DROP FUNCTION orders_attempt_moves_order();
DROP FUNCTION orders_channel_is_another(text);
DROP FUNCTION orders_entry_moves_order();
DROP FUNCTION orders_order_is_moved(uuid, timestamptz);
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0047_figures_that_are_kept")]

    operations = [
        migrations.CreateModel(
            name="OrderEarned",
            fields=[
                (
                    "order",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="earned",
                        serialize=False,
                        to="orders.channelorder",
                    ),
                ),
                ("is_over", models.BooleanField()),
                ("counts", models.BooleanField(help_text="It has anything at all.")),
                ("is_channel", models.BooleanField()),
                ("first_day", models.DateField(help_text="On which the books, or a forward, have something of it.")),
                ("last_day", models.DateField()),
                ("capacity_sat", models.BigIntegerField(null=True)),
                ("opened_at", models.DateTimeField(null=True)),
                ("unpaid_msat", models.BigIntegerField()),
                ("sale_fees_msat", models.BigIntegerField()),
                ("routing_msat", models.BigIntegerField()),
                ("open_cost_msat", models.BigIntegerField()),
                ("bump_cost_msat", models.BigIntegerField()),
                ("close_cost_msat", models.BigIntegerField()),
                ("refund_cost_msat", models.BigIntegerField()),
                ("refund_borne_msat", models.BigIntegerField()),
                ("losses_msat", models.BigIntegerField()),
                ("bound_msat_seconds", models.DecimalField(decimal_places=0, max_digits=40)),
                ("capital_cost_msat", models.BigIntegerField(help_text="At what capital cost when it was kept.")),
                ("costs_msat", models.BigIntegerField()),
                ("profit_msat", models.BigIntegerField()),
            ],
            options={
                "ordering": ["order"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("is_over", True)), fields=["last_day", "first_day"], name="earned_ended"
                    ),
                    models.Index(
                        condition=models.Q(("counts", True), ("is_channel", True), ("is_over", True)),
                        fields=["last_day", "first_day"],
                        include=(
                            "order",
                            "capacity_sat",
                            "opened_at",
                            "sale_fees_msat",
                            "routing_msat",
                            "bound_msat_seconds",
                            "capital_cost_msat",
                            "costs_msat",
                            "profit_msat",
                        ),
                        name="earned_listed",
                    ),
                    models.Index(condition=models.Q(("is_over", False)), fields=["order"], name="earned_not_over"),
                    models.Index(
                        condition=models.Q(("counts", True), ("is_channel", True), ("is_over", True)),
                        fields=["profit_msat", "order"],
                        include=("first_day", "last_day"),
                        name="earned_most",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StaleOrder",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "order",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="orders.channelorder",
                    ),
                ),
            ],
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
                    ("earned", "What orders have earned"),
                ],
                max_length=16,
                primary_key=True,
                serialize=False,
            ),
        ),
        migrations.RunSQL(STALE, NOT_STALE),
    ]
