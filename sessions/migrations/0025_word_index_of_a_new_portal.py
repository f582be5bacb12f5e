from typing import Any

from django.db import migrations
from django.utils import timezone

NONE_FROM_BEFORE = ""


def note_that_no_line_is_from_before(apps: Any, schema_editor: Any) -> None:
    """Where nothing has been said yet, every line will be indexed as it is stored: none is left to index again."""
    if not apps.get_model("avatar_sessions", "Utterance").objects.exists():
        rebuilds = apps.get_model("avatar_sessions", "WordIndexRebuild").objects
        rebuilds.get_or_create(key_id=NONE_FROM_BEFORE, defaults={"finished_at": timezone.now()})


class Migration(migrations.Migration):
    dependencies = [("avatar_sessions", "0024_allowance_organisation")]
    operations = [migrations.RunPython(note_that_no_line_is_from_before, migrations.RunPython.noop)]
