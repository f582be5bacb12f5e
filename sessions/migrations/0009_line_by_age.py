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
                "verbose_name": "place in line",
                "verbose_name_plural": "places in line",
            },
        ),
    ]
