from typing import Any

from django.db import migrations

from heygen_portal.migrations import _db_triggers as db_triggers
from heygen_portal.migrations import _signing as signing

GUARDED = ("heygen_portal_audithead",)
NEW = ("audit of a new portal", 0, "")
OWN = ("StreamingSession", "Export", "HistoryCheck")


def note_that_no_row_is_from_before(apps: Any, schema_editor: Any) -> None:
    """Where nothing has been stored yet, the audit log will state each row: its first entry will say so."""
    entries = apps.get_model("heygen_portal", "AuditEntry").objects
    if entries.exists() or any(apps.get_model("avatar_sessions", name).objects.exists() for name in OWN):
        return
    connection = schema_editor.connection
    db_triggers.take_down(connection, GUARDED)
    apps.get_model("heygen_portal", "AuditHead").objects.filter(number=0).update(signature=signing.sign(*NEW))
    db_triggers.put_up(connection, GUARDED)


class Migration(migrations.Migration):
    dependencies = [
        ("avatar_sessions", "0029_export_cut_off"),
        ("heygen_portal", "0014_organisation"),
    ]
    operations = [migrations.RunPython(note_that_no_row_is_from_before, migrations.RunPython.noop)]
