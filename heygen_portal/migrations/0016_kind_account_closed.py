"""Accounts can be closed: the names in audit entries are replaced, where the entry says so and nothing else changes."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from heygen_portal.migrations import _db_triggers as db_triggers

TABLE = "heygen_portal_auditentry"
# SQLite keeps the statement word for word, and `db_triggers.missing` compares it.
ON_SQLITE = f"""
CREATE TRIGGER {TABLE}_no_update BEFORE UPDATE ON {TABLE}
    WHEN (json_extract(NEW.data, '$.is_renamed') IS NOT 1 OR NEW.id IS NOT OLD.id OR NEW.number IS NOT OLD.number
    OR NEW.at IS NOT OLD.at OR NEW.kind IS NOT OLD.kind OR NEW.by_id IS NOT OLD.by_id
    OR NEW.address IS NOT OLD.address OR NEW.previous_hash IS NOT OLD.previous_hash OR NEW.hash IS NOT OLD.hash)
    BEGIN SELECT RAISE(ABORT, '{TABLE} is append-only'); END
"""
ON_POSTGRES = f"""
CREATE OR REPLACE TRIGGER {TABLE}_no_update BEFORE UPDATE ON {TABLE} FOR EACH ROW WHEN (
    (NEW.data ->> 'is_renamed'::text) IS DISTINCT FROM 'true'::text
    OR NEW.id IS DISTINCT FROM OLD.id OR NEW.number IS DISTINCT FROM OLD.number OR NEW.at IS DISTINCT FROM OLD.at
    OR NEW.kind::text IS DISTINCT FROM OLD.kind::text OR NEW.by_id IS DISTINCT FROM OLD.by_id
    OR NEW.address IS DISTINCT FROM OLD.address
    OR NEW.previous_hash::text IS DISTINCT FROM OLD.previous_hash::text OR NEW.hash::text IS DISTINCT FROM OLD.hash::text
) EXECUTE FUNCTION avatar_sessions_append_only()
"""


def let_names_be_replaced(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"DROP TRIGGER IF EXISTS {TABLE}_no_update")
        cursor.execute(ON_SQLITE if connection.vendor == "sqlite" else ON_POSTGRES)


def let_nothing_be_changed(apps: Any, schema_editor: Any) -> None:
    db_triggers.put_up(schema_editor.connection, (TABLE,))


class Migration(migrations.Migration):
    dependencies = [
        ("heygen_portal", "0015_kind_knowledge_exported"),
    ]

    operations = [
        migrations.AlterField(
            model_name="auditentry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("access_changed", "access changed"),
                    ("password_set", "password set"),
                    ("key_set", "provider key set"),
                    ("sessions_stopped", "sessions stopped"),
                    ("exported", "exported"),
                    ("searched", "transcripts searched"),
                    ("invited", "user invited"),
                    ("invitation_revoked", "invitation withdrawn"),
                    ("joined", "invitation accepted"),
                    ("second_factor_on", "second factor set up"),
                    ("second_factor_off", "second factor removed"),
                    ("account_changed", "provider account changed"),
                    ("published", "persona published"),
                    ("rolled_back", "persona rolled back"),
                    ("unpublished", "persona unpublished"),
                    ("persona_changed", "persona address or groups changed"),
                    ("allowance_changed", "quota changed"),
                    ("personal_data", "personal data exported"),
                    ("anchored", "anchored"),
                    ("export_state", "export state changed"),
                    ("record_checked", "integrity checked"),
                    ("record_upgraded", "rows of an earlier version covered"),
                    ("organisation_changed", "organisation renamed"),
                    ("knowledge_exported", "knowledge bases exported"),
                    ("account_closed", "account closed"),
                ],
                max_length=20,
                verbose_name="kind",
            ),
        ),
        migrations.RunPython(let_names_be_replaced, let_nothing_be_changed),
    ]
