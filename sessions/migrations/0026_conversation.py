"""Conversations get a table; the next migration fills it."""

from datetime import timedelta

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

LIMIT_BY = [
    ("persona", "persona limit"),
    ("user", "user limit"),
    ("group", "group limit"),
    ("account", "account limit"),
    ("provider", "provider limit"),
    ("quota", "rest of the monthly quota"),
    ("spend_cap", "rest of the account’s monthly cap"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("avatars", "0015_organisation"),
        ("avatar_sessions", "0025_word_index_of_a_new_portal"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Conversation",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField(verbose_name="started")),
                ("time_limit", models.DurationField(blank=True, null=True, verbose_name="time limit")),
                (
                    "limit_by",
                    models.CharField(
                        blank=True, choices=LIMIT_BY, max_length=10, verbose_name="effective duration limit"
                    ),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                (
                    "persona",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="conversations",
                        to="avatars.persona",
                        verbose_name="persona",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="conversations",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "conversation",
                "verbose_name_plural": "conversations",
                "ordering": ("-started_at",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("limit_by", ""), ("time_limit", None)),
                            models.Q(("time_limit__gt", timedelta(0)), models.Q(("limit_by", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="conversation_limit_is_somebodys",
                    )
                ],
            },
        ),
        migrations.AddField(
            "streamingsession",
            "conversation",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="sessions",
                to="avatar_sessions.conversation",
                verbose_name="conversation",
            ),
        ),
    ]
