"""Events and seals can be added and read, nothing else; sessions that are over are sealed as they stand."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from heygen_portal.migrations import _db_triggers as db_triggers
from heygen_portal.migrations import _signing as signing

GUARDED = ("avatar_sessions_sessionevent", "avatar_sessions_sessionseal")


def seal_what_is_over(apps: Any, schema_editor: Any) -> None:
    events, seals = (apps.get_model("avatar_sessions", name).objects for name in ("SessionEvent", "SessionSeal"))
    over = events.filter(session__status="ended").order_by("session_id", "-number")
    last = None
    for session_id, number, last_hash in over.values_list("session", "number", "hash").iterator():
        if session_id != last:
            signature = signing.sign(session_id, number, last_hash)
            seals.create(session_id=session_id, number=number, hash=last_hash, signature=signature)
            last = session_id
    schema_editor.connection.check_constraints()  # PostgreSQL makes no trigger on a table with checks outstanding


def put_up(apps: Any, schema_editor: Any) -> None:
    db_triggers.put_up(schema_editor.connection, GUARDED)


def take_down(apps: Any, schema_editor: Any) -> None:
    db_triggers.take_down(schema_editor.connection, GUARDED)


class Migration(migrations.Migration):
    dependencies = [("avatar_sessions", "0011_monitored_chat")]

    operations = [
        migrations.CreateModel(
            name="HistoryCheck",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("started_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="started")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                ("sessions", models.PositiveIntegerField(default=0, verbose_name="sessions")),
                ("events", models.PositiveBigIntegerField(default=0, verbose_name="events")),
                ("anchors", models.PositiveIntegerField(default=0, verbose_name="anchors")),
                ("faults", models.JSONField(blank=True, default=list, verbose_name="problems found")),
                ("fault_count", models.PositiveIntegerField(default=0, verbose_name="problems")),
            ],
            options={
                "verbose_name": "integrity check",
                "verbose_name_plural": "integrity checks",
                "ordering": ("-started_at",),
            },
        ),
        migrations.CreateModel(
            name="SessionSeal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField(verbose_name="events")),
                ("hash", models.CharField(max_length=64)),
                ("signature", models.CharField(max_length=64)),
                ("at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="time")),
                (
                    "session",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="seals",
                        to="avatar_sessions.streamingsession",
                        verbose_name="session",
                    ),
                ),
            ],
            options={
                "verbose_name": "seal",
                "verbose_name_plural": "seals",
                "ordering": ("session_id", "number"),
                "constraints": [models.UniqueConstraint("session", "number", name="seal_once_per_length")],
            },
        ),
        migrations.RunPython(seal_what_is_over, migrations.RunPython.noop),
        migrations.RunPython(put_up, take_down),
    ]
