import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("avatars", "0025_persona_model_and_library"),
        ("avatar_sessions", "0048_model_costs"),
    ]

    operations = [
        migrations.CreateModel(
            name="BrainAccess",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("token_hash", models.CharField(max_length=64)),
                ("custom_model_id", models.CharField(blank=True, max_length=200)),
                ("due_at", models.DateTimeField(db_index=True, null=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="avatars.provideraccount"
                    ),
                ),
                (
                    "session",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="brain_access",
                        to="avatar_sessions.streamingsession",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("session__isnull", False), ("due_at__isnull", False), _connector="OR"),
                        name="unused_brain_access_is_due",
                    )
                ],
            },
        ),
    ]
