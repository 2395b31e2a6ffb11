"""A note of staff is a row of the journal that nobody changes: the database refuses it."""

from django.db import migrations

GUARD = """
CREATE FUNCTION orders_notes_stand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a note is not changed: write another'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'notes_stand';
END $$;
CREATE TRIGGER note_stands BEFORE UPDATE OR DELETE ON orders_orderevent
    FOR EACH ROW WHEN (OLD.cause = 'noted') EXECUTE FUNCTION orders_notes_stand();
"""
NO_GUARD = """
DROP TRIGGER note_stands ON orders_orderevent;
DROP FUNCTION orders_notes_stand();
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0032_figures_by_day")]

    operations = [migrations.RunSQL(GUARD, NO_GUARD)]
