import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("avatar_sessions", "0036_csv_with_semicolons"),
    ]

    # The table keeps its name, so nothing changes in the database.
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterModelTable(name="ChatWatch", table="avatar_sessions_chatwatch"),
                migrations.RenameModel(old_name="ChatWatch", new_name="MonitoredSession"),
                migrations.AlterField(
                    model_name="monitoredsession",
                    name="session",
                    field=models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="monitored",
                        serialize=False,
                        to="avatar_sessions.streamingsession",
                    ),
                ),
                migrations.AlterField(
                    model_name="monitoredsession",
                    name="process",
                    field=models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="monitored_sessions",
                        to="avatar_sessions.serverprocess",
                    ),
                ),
            ]
        )
    ]
