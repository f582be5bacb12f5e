"""Each record has a head, which tells how long it is while it still grows; receipts of erasures stay as they are."""

from __future__ import annotations

from itertools import islice
from typing import Any

import django.db.models.deletion
from django.db import migrations, models

from heygen_portal.migrations import _db_triggers as db_triggers
from heygen_portal.migrations import _signing as signing
from sessions.migrations import _event_sql as event_sql

GUARDED = ("avatar_sessions_sessionhead", "avatar_sessions_erasure")
BATCH = 5_000


def note_the_ends(apps: Any, schema_editor: Any) -> None:
    events, heads = (apps.get_model("avatar_sessions", name).objects for name in ("SessionEvent", "SessionHead"))
    last = events.filter(session=models.OuterRef("pk")).order_by("-number")
    sessions = apps.get_model("avatar_sessions", "StreamingSession").objects.order_by()
    found = sessions.values_list(
        "pk", models.Subquery(last.values("number")[:1]), models.Subquery(last.values("hash")[:1])
    )
    known = ((pk, number, last_hash) for pk, number, last_hash in found.iterator(chunk_size=BATCH) if number)
    while batch := list(islice(known, BATCH)):
        heads.bulk_create(
            heads.model(
                session_id=pk, number=number, hash=last_hash, signature=signing.sign("head", pk, number, last_hash)
            )
            for pk, number, last_hash in batch
        )
    schema_editor.connection.check_constraints()  # PostgreSQL makes no trigger on a table with checks outstanding


def put_up(apps: Any, schema_editor: Any) -> None:
    db_triggers.put_up(schema_editor.connection, GUARDED)
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(event_sql.APPEND_FUNCTION, params=None)


def take_down(apps: Any, schema_editor: Any) -> None:
    db_triggers.take_down(schema_editor.connection, GUARDED)
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION avatar_sessions_append", params=None)


class Migration(migrations.Migration):
    dependencies = [("avatar_sessions", "0014_totals")]

    operations = [
        migrations.CreateModel(
            name="SessionHead",
            fields=[
                (
                    "session",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="head",
                        serialize=False,
                        to="avatar_sessions.streamingsession",
                        verbose_name="session",
                    ),
                ),
                ("number", models.PositiveIntegerField(verbose_name="events")),
                ("hash", models.CharField(max_length=64)),
                ("signature", models.CharField(max_length=64)),
            ],
            options={
                "verbose_name": "record head",
                "verbose_name_plural": "record heads",
            },
        ),
        migrations.AddField(
            "historycheck", "entries", models.PositiveIntegerField(default=0, verbose_name="audit entries")
        ),
        migrations.RunPython(note_the_ends, migrations.RunPython.noop),
        migrations.RunPython(put_up, take_down),
    ]
