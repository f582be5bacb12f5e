from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("avatar_sessions", "0031_task_not_sent"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RenameField("queueplace", "kept_until", "offer_expires_at"),
        # Names in Python only; nothing changes in the database.
        migrations.AlterField(
            model_name="queueplace",
            name="account",
            field=models.ForeignKey(
                on_delete=models.CASCADE,
                related_name="queue_entries",
                to="avatars.provideraccount",
                verbose_name="account",
            ),
        ),
        migrations.AlterField(
            model_name="queueplace",
            name="user",
            field=models.OneToOneField(
                on_delete=models.CASCADE,
                related_name="queue_entry",
                to=settings.AUTH_USER_MODEL,
                verbose_name="user",
            ),
        ),
    ]
