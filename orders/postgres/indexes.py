"""Indexes of tables in use: built beside their readers and writers, and built again where that was cut short."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.postgres.operations import AddIndexConcurrently

#: The columns of a whole index, in order, those that it only carries included.
_COLUMNS: Final = """
SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_attribute a ON a.attrelid = i.indexrelid
WHERE c.relname = %s AND c.relnamespace = current_schema()::regnamespace AND i.indisvalid
"""


class IndexBesideOthers(AddIndexConcurrently):
    """The index is there as the model has it, and nobody waited for that.

    Repeat: safe. One that is there already stays; what a death has left of one, which serves nobody and is kept up at
    each write, is built anew.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Built, if it is not there. It waits for what others have begun, and for as long as that takes."""
        model = to_state.apps.get_model(app_label, self.model_name)
        named = [model._meta.get_field(field).column for field in (*self.index.fields, *self.index.include)]
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(_COLUMNS, [self.index.name])
            [(there,)] = cursor.fetchall()
            if there == named:
                return
            self._ensure_not_in_transaction(schema_editor)
            cursor.execute("SHOW lock_timeout")
            [(patience,)] = cursor.fetchall()
            cursor.execute("SET lock_timeout = 0")
            try:
                cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(self.index.name)}")
                super().database_forwards(app_label, schema_editor, from_state, to_state)
            finally:
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", [patience])
