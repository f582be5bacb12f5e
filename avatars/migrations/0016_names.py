from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("avatars", "0015_organisation")]

    operations = [
        migrations.RenameField("provideraccount", "places_seen", "slots_seen"),
        migrations.RenameField("provideraccount", "places_seen_at", "slots_seen_at"),
        migrations.RenameField("provideraccount", "strangers", "unknown_sessions"),
        migrations.RenameField("video", "looks", "polls"),
    ]
