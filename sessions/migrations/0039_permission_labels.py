from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

LABELS = {
    "stop_streamingsession": "Can stop any session",
    "observe_streamingsession": "Can observe any live session",
}


def relabel(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Django stores a permission's label when it creates the permission, and never changes it."""
    stored = apps.get_model("auth", "Permission").objects.using(schema_editor.connection.alias)
    for codename, label in LABELS.items():
        stored.filter(codename=codename, content_type__app_label="avatar_sessions").update(name=label)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("avatar_sessions", "0038_reason_in_code_points"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="streamingsession",
            options={
                "ordering": ("-created_at",),
                "permissions": (
                    ("start_streamingsession", "Can talk with an avatar"),
                    ("stop_streamingsession", "Can stop any session"),
                    ("observe_streamingsession", "Can observe any live session"),
                ),
                "verbose_name": "session",
                "verbose_name_plural": "sessions",
            },
        ),
        migrations.RunPython(relabel, migrations.RunPython.noop),
    ]
