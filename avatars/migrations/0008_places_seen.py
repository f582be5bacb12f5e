from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("avatars", "0007_recorded_videos"),
    ]

    operations = [
        migrations.AddField(
            model_name="provideraccount",
            name="places_seen",
            field=models.PositiveIntegerField(
                blank=True, editable=False, null=True, verbose_name="slots available at the provider"
            ),
        ),
        migrations.AddField(
            model_name="provideraccount",
            name="places_seen_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
