"""Audit entries can be added and read, nothing else, and a head tells how many there are."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from heygen_portal.migrations import _db_triggers as db_triggers
from heygen_portal.migrations import _signing as signing

GUARDED = ("heygen_portal_auditentry", "heygen_portal_audithead")


def note_the_end(apps: Any, schema_editor: Any) -> None:
    last = apps.get_model("heygen_portal", "AuditEntry").objects.order_by("-number").first()
    number, last_hash = (last.number, last.hash) if last else (0, "")
    signature = signing.sign("audit", number, last_hash)
    apps.get_model("heygen_portal", "AuditHead").objects.create(
        pk=1, number=number, hash=last_hash, signature=signature
    )


def put_up(apps: Any, schema_editor: Any) -> None:
    db_triggers.put_up(schema_editor.connection, GUARDED)


def take_down(apps: Any, schema_editor: Any) -> None:
    db_triggers.take_down(schema_editor.connection, GUARDED)


class Migration(migrations.Migration):
    dependencies = [("heygen_portal", "0002_kind_sessions_stopped")]

    operations = [
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField(default=0, verbose_name="number")),
                ("hash", models.CharField(blank=True, max_length=64)),
                ("signature", models.CharField(blank=True, max_length=64)),
            ],
            options={
                "verbose_name": "audit log head",
                "verbose_name_plural": "audit log heads",
            },
        ),
        migrations.AlterModelOptions(
            name="auditentry",
            options={
                "ordering": ("-number",),
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit entries",
            },
        ),
        migrations.AlterField(
            "auditentry",
            "kind",
            models.CharField(
                choices=[
                    ("access_changed", "access changed"),
                    ("password_set", "password set"),
                    ("key_set", "provider key set"),
                    ("sessions_stopped", "sessions stopped"),
                    ("exported", "exported"),
                ],
                max_length=20,
                verbose_name="kind",
            ),
        ),
        migrations.RunPython(note_the_end, migrations.RunPython.noop),
        migrations.RunPython(put_up, take_down),
    ]
