from typing import Any

from django.db import migrations, models

NONE_FROM_BEFORE, FORMAT = "", 2


def mark_new_portals(apps: Any, schema_editor: Any) -> None:
    """Where nothing has been said yet, every line will be indexed in the new format."""
    if not apps.get_model("avatar_sessions", "Utterance").objects.exists():
        apps.get_model("avatar_sessions", "WordIndexRebuild").objects.filter(key_id=NONE_FROM_BEFORE).update(
            format=FORMAT
        )


class Migration(migrations.Migration):
    dependencies = [("avatar_sessions", "0034_live_at_label")]
    operations = [
        migrations.AddField(
            model_name="wordindexrebuild",
            name="format",
            field=models.PositiveSmallIntegerField(db_default=1, default=1),
        ),
        migrations.RunPython(mark_new_portals, migrations.RunPython.noop),
    ]
