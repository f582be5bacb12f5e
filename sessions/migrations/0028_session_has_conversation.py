"""Every session has a conversation."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("avatar_sessions", "0027_sessions_in_conversations")]

    operations = [
        migrations.AlterField(
            "streamingsession",
            "conversation",
            models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="sessions",
                to="avatar_sessions.conversation",
                verbose_name="conversation",
            ),
        ),
        migrations.RemoveIndex("streamingsession", "session_of_old_format"),
        migrations.AddIndex(
            "streamingsession",
            models.Index(condition=models.Q(("record_format__lt", 3)), fields=["id"], name="session_of_old_format"),
        ),
    ]
