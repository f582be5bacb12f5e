from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("avatar_sessions", "0008_sealed_speech"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="queueplace",
            options={
                "ordering": ("created_at", "pk"),
                "verbose_name": "queue position",
                "verbose_name_plural": "queue positions",
            },
        ),
    ]
