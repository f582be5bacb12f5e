"""Put every session into its conversation, in batches: it can be stopped and run again."""

from __future__ import annotations

from typing import Any

from django.db import migrations, transaction
from django.db.models import F, OuterRef, Subquery

ROWS = 5_000
"""Sessions of one transaction."""

BEGIN = """
    INSERT INTO avatar_sessions_conversation (id, user_id, persona_id, started_at, time_limit, limit_by, ended_at)
    SELECT id, user_id, persona_id, created_at, NULL, '', ended_at FROM avatar_sessions_streamingsession
    WHERE conversation_id IS NULL AND {chosen}
"""
JOIN_OWN = "UPDATE avatar_sessions_streamingsession SET conversation_id = id WHERE conversation_id IS NULL AND {chosen}"


def begin_conversations(schema_editor: Any, chosen: str, *values: Any) -> None:
    """Let each of the chosen sessions be the first of a conversation, which gets its ID."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(BEGIN.format(chosen=chosen), values)
        cursor.execute(JOIN_OWN.format(chosen=chosen), values)


def put_into_conversations(apps: Any, schema_editor: Any) -> None:
    session = apps.get_model("avatar_sessions", "StreamingSession")
    alias, key = schema_editor.connection.alias, session._meta.pk
    rows = session.objects.using(alias).order_by("pk").values_list("pk", flat=True)

    def stored(pk: Any) -> Any:
        return key.get_db_prep_value(pk, schema_editor.connection)

    last = None
    while part := list((rows.filter(pk__gt=last) if last else rows)[:ROWS]):
        chosen = "continues_id IS NULL AND id >= %s AND id <= %s"
        with transaction.atomic(using=alias):
            begin_conversations(schema_editor, chosen, stored(part[0]), stored(part[-1]))
        last = part[-1]
    while _join_next(apps, alias):
        pass
    while part := list(rows.filter(conversation=None)[:1]):  # sessions that continue each other in a circle
        with transaction.atomic(using=alias):
            begin_conversations(schema_editor, "id = %s", stored(part[0]))
        while _join_next(apps, alias):
            pass


def _join_next(apps: Any, alias: str) -> bool:
    """Let sessions join the conversation of those that they continue; return whether any could."""
    session, conversation = (apps.get_model("avatar_sessions", name) for name in ("StreamingSession", "Conversation"))
    rows = session.objects.using(alias)
    left = rows.filter(conversation=None, continues__conversation__isnull=False)
    part = list(left.annotate(joins=F("continues__conversation"))[:ROWS])
    with transaction.atomic(using=alias):
        for one in part:
            one.conversation_id = one.joins
        rows.bulk_update(part, ["conversation"], batch_size=500)
        ended_last = rows.filter(conversation=OuterRef("pk")).order_by(F("ended_at").desc(nulls_first=True))
        joined = conversation.objects.using(alias).filter(pk__in={one.joins for one in part})
        joined.update(ended_at=Subquery(ended_last.values("ended_at")[:1]))
    return bool(part)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("avatar_sessions", "0026_conversation")]
    operations = [migrations.RunPython(put_into_conversations, migrations.RunPython.noop)]
