"""Rows say how much of what is shown of them the chained record states, and events what was changed of them."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from heygen_portal.migrations import _db_triggers as db_triggers
from sessions.migrations import _event_sql as event_sql

TABLES = ("avatar_sessions_sessionevent",)
BEFORE = "uuid, integer, varchar, varchar, jsonb, timestamptz, varchar, varchar, varchar"


def put_up(apps: Any, schema_editor: Any) -> None:
    schema_editor.connection.check_constraints()  # PostgreSQL makes no trigger on a table with checks outstanding
    db_triggers.put_up(schema_editor.connection, TABLES)  # SQLite has remade the table
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP FUNCTION IF EXISTS avatar_sessions_append({BEFORE})", params=None)
        schema_editor.execute(event_sql.APPEND_FUNCTION, params=None)


class Migration(migrations.Migration):
    dependencies = [("avatar_sessions", "0021_export_as_workbook")]

    operations = [
        migrations.AddField(
            "sessionevent",
            "prints",
            models.CharField(db_default="", default="", editable=False, max_length=40),
        ),
        migrations.AddField(
            "sessiontask",
            "seal_format",
            models.PositiveSmallIntegerField(db_default=1, default=1, editable=False),
        ),
        migrations.AddField(
            "utterance",
            "seal_format",
            models.PositiveSmallIntegerField(db_default=1, default=1, editable=False),
        ),
        migrations.AddField(
            "streamingsession",
            "record_format",
            models.PositiveSmallIntegerField(db_default=1, default=1, editable=False),
        ),
        migrations.AddIndex(
            "streamingsession",
            models.Index(condition=models.Q(("record_format", 1)), fields=["id"], name="session_of_old_format"),
        ),
        migrations.AddIndex(
            "sessiontask",
            models.Index(models.F("created_at"), condition=models.Q(("status", "sending")), name="task_to_settle"),
        ),
        migrations.AddField(
            "historycheck", "rows", models.PositiveBigIntegerField(default=0, verbose_name="rows read")
        ),
        migrations.AddField(
            "historycheck", "covered", models.JSONField(blank=True, default=dict, verbose_name="covers")
        ),
        migrations.RunPython(put_up, migrations.RunPython.noop),
    ]
