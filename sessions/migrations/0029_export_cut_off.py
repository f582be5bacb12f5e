from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("avatar_sessions", "0028_session_has_conversation")]

    operations = [
        migrations.AlterField(
            model_name="export",
            name="state",
            field=models.CharField(
                choices=[
                    ("waiting", "waiting"),
                    ("writing", "being written"),
                    ("ready", "ready"),
                    ("failed", "failed"),
                    ("sent", "sent"),
                    ("cut_off", "cut off"),
                    ("expired", "file deleted"),
                ],
                max_length=10,
                verbose_name="status",
            ),
        ),
    ]
