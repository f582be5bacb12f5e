"""Entries tell which of their columns was changed."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from heygen_portal.migrations import _db_triggers as db_triggers

TABLES = ("heygen_portal_auditentry",)


def put_up(apps: Any, schema_editor: Any) -> None:
    schema_editor.connection.check_constraints()
    db_triggers.put_up(schema_editor.connection, TABLES)  # SQLite has remade the table


class Migration(migrations.Migration):
    dependencies = [("heygen_portal", "0008_preferred_language")]

    operations = [
        migrations.AddField(
            "auditentry", "prints", models.CharField(db_default="", default="", editable=False, max_length=60)
        ),
        migrations.RunPython(put_up, migrations.RunPython.noop),
    ]
