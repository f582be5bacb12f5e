from typing import Any

from django.db import migrations, models

NONE_FROM_BEFORE, FORMAT = "", 3


def mark_new_portals(apps: Any, schema_editor: Any) -> None:
    """Where nothing has been said yet, the words of every line will be signed as they are stored."""
    if not apps.get_model("avatar_sessions", "Utterance").objects.exists():
        apps.get_model("avatar_sessions", "WordIndexRebuild").objects.filter(key_id=NONE_FROM_BEFORE).update(
            format=FORMAT
        )


class Migration(migrations.Migration):
    dependencies = [("avatar_sessions", "0039_permission_labels")]
    operations = [
        migrations.AddField(
            model_name="utterance",
            name="words_signature",
            field=models.CharField(db_default="", default="", editable=False, max_length=52),
        ),
        migrations.RunPython(mark_new_portals, migrations.RunPython.noop),
    ]
