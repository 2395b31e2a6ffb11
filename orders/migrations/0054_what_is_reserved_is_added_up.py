"""What is reserved is added up as it changes: a sale reads no single order for it."""

from django.db import migrations, models

COUNTED = """
CREATE FUNCTION orders_reservation_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.released_at IS NULL AND OLD.gives_way_at IS NULL AND OLD.leased_at IS NULL THEN
        INSERT INTO orders_reserved (firmness, value_sat, orders) VALUES (OLD.firmness, -OLD.value_sat, -1);
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.released_at IS NULL AND NEW.gives_way_at IS NULL AND NEW.leased_at IS NULL THEN
        INSERT INTO orders_reserved (firmness, value_sat, orders) VALUES (NEW.firmness, NEW.value_sat, 1);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER reservation_counts AFTER INSERT OR DELETE ON orders_reservation
    FOR EACH ROW EXECUTE FUNCTION orders_reservation_counts();
CREATE TRIGGER reservation_counts_otherwise
    AFTER UPDATE OF firmness, value_sat, leased_at, gives_way_at, released_at ON orders_reservation
    FOR EACH ROW
    WHEN ((OLD.firmness, OLD.value_sat, OLD.leased_at IS NULL, OLD.gives_way_at IS NULL, OLD.released_at IS NULL)
          IS DISTINCT FROM
          (NEW.firmness, NEW.value_sat, NEW.leased_at IS NULL, NEW.gives_way_at IS NULL, NEW.released_at IS NULL))
    EXECUTE FUNCTION orders_reservation_counts();

CREATE FUNCTION orders_no_reservation_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM orders_reserved;
    RETURN NULL;
END $$;
CREATE TRIGGER no_reservation_counts AFTER TRUNCATE ON orders_reservation
    FOR EACH STATEMENT EXECUTE FUNCTION orders_no_reservation_counts();

-- Nobody has changed any since the first trigger was made: that waits for whoever does, and keeps others waiting.
INSERT INTO orders_reserved (firmness, value_sat, orders)
SELECT firmness, sum(value_sat), count(*) FROM orders_reservation
 WHERE released_at IS NULL AND gives_way_at IS NULL AND leased_at IS NULL
 GROUP BY firmness;
"""
NOT_COUNTED = """
DROP TRIGGER no_reservation_counts ON orders_reservation;
DROP TRIGGER reservation_counts_otherwise ON orders_reservation;
DROP TRIGGER reservation_counts ON orders_reservation;
DROP FUNCTION orders_no_reservation_counts();
DROP FUNCTION orders_reservation_counts();
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0053_what_is_leased_is_found")]

    operations = [
        migrations.CreateModel(
            name="Reserved",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("firmness", models.CharField(max_length=16)),
                ("value_sat", models.BigIntegerField()),
                ("orders", models.BigIntegerField()),
            ],
        ),
        migrations.RunSQL(COUNTED, NOT_COUNTED),
    ]
