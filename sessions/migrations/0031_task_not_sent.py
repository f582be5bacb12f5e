from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("avatar_sessions", "0030_audit_log_of_a_new_portal"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name="sessiontask",
            index=models.Index(
                models.F("session"),
                models.F("created_at"),
                condition=models.Q(("status", "sent"), _negated=True),
                name="task_not_sent",
            ),
        ),
    ]
