from typing import Any

from django.db import migrations

TABLE, COLUMN = "avatars_chunk_index", "search"


def put_up(apps: Any, schema_editor: Any) -> None:
    """Create the full-text index of passages, of which each database has its own kind."""
    if schema_editor.connection.vendor == "sqlite":
        # The words are already without accents and in lower case, and any character beyond ASCII is part of one.
        schema_editor.execute(f"CREATE VIRTUAL TABLE {TABLE} USING fts5(words, tokenize='ascii')")
        return
    vector = "to_tsvector('simple'::regconfig, words)"
    schema_editor.execute(
        f"ALTER TABLE avatars_chunk ADD COLUMN {COLUMN} tsvector GENERATED ALWAYS AS ({vector}) STORED"
    )
    # In the row itself: ranking reads it of hundreds of rows.
    schema_editor.execute(f"ALTER TABLE avatars_chunk ALTER COLUMN {COLUMN} SET STORAGE MAIN")
    schema_editor.execute(f"CREATE INDEX {TABLE} ON avatars_chunk USING gin ({COLUMN}) WITH (fastupdate = off)")


def take_down(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(f"DROP TABLE {TABLE}")
        return
    schema_editor.execute(f"ALTER TABLE avatars_chunk DROP COLUMN {COLUMN}")


class Migration(migrations.Migration):
    dependencies = [("avatars", "0021_documents")]
    operations = [migrations.RunPython(put_up, take_down)]
