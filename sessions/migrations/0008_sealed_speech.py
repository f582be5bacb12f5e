"""Speech moves from plain columns into sealed ones, each session's under a key of its own."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

from sessions.migrations import _sealing as sealing
from sessions.migrations import _word_index as word_index


def seal(apps: Any, schema_editor: Any) -> None:
    keys, model = {}, apps.get_model("avatar_sessions", "SpeechKey")
    words = apps.get_model("avatar_sessions", "SpokenWord")
    for name in ("SessionTask", "Utterance"):
        rows = apps.get_model("avatar_sessions", name).objects
        for row in rows.iterator(chunk_size=500):
            if row.session_id not in keys:
                wrapped = sealing.new_key(row.session_id)
                keys[row.session_id] = model.objects.create(session_id=row.session_id, wrapped=wrapped)
            sealed = sealing.seal(keys[row.session_id].wrapped, row.session_id, row.text)
            rows.filter(pk=row.pk).update(sealed=sealed)
            if name == "Utterance":
                marks = word_index.shared_of_line(row.text)
                words.objects.bulk_create([words(utterance_id=row.pk, mark=mark) for mark in marks])
    schema_editor.connection.check_constraints()  # PostgreSQL changes no table with checks outstanding


def unseal(apps: Any, schema_editor: Any) -> None:
    keys = apps.get_model("avatar_sessions", "SpeechKey").objects.in_bulk()
    for name in ("SessionTask", "Utterance"):
        rows = apps.get_model("avatar_sessions", name).objects
        for row in rows.iterator(chunk_size=500):
            wrapped = keys[row.session_id].wrapped
            text = sealing.unseal(wrapped, row.session_id, bytes(row.sealed)) if wrapped and row.sealed else "–"
            rows.filter(pk=row.pk).update(text=text)


class Migration(migrations.Migration):
    dependencies = [("avatar_sessions", "0007_observe_permission")]

    operations = [
        migrations.CreateModel(
            name="SpeechKey",
            fields=[
                (
                    "session",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="speech_key",
                        serialize=False,
                        to="avatar_sessions.streamingsession",
                        verbose_name="session",
                    ),
                ),
                ("wrapped", models.BinaryField()),
                ("erased_at", models.DateTimeField(blank=True, null=True, verbose_name="erased")),
            ],
            options={
                "verbose_name": "encryption key of the text",
                "verbose_name_plural": "encryption keys of texts",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("wrapped", b""), ("erased_at", None), _connector="XOR"),
                        name="speech_key_or_erased",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SpokenWord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("mark", models.BigIntegerField()),
                (
                    "utterance",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="words",
                        to="avatar_sessions.utterance",
                    ),
                ),
            ],
            options={"constraints": [models.UniqueConstraint("mark", "utterance", name="word_once_per_line")]},
        ),
        migrations.AddField(
            model_name="sessiontask",
            name="sealed",
            field=models.BinaryField(default=b"", verbose_name="text"),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="utterance",
            name="sealed",
            field=models.BinaryField(default=b"", verbose_name="text"),
            preserve_default=False,
        ),
        migrations.RunPython(seal, unseal),
        migrations.RemoveConstraint(model_name="sessiontask", name="task_has_text"),
        migrations.RemoveField(model_name="sessiontask", name="text"),
        migrations.RemoveField(model_name="utterance", name="text"),
        migrations.AddConstraint(
            model_name="sessiontask",
            constraint=models.CheckConstraint(condition=models.Q(("sealed", b""), _negated=True), name="task_has_text"),
        ),
    ]
