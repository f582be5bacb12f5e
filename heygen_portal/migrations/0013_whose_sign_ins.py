from typing import Any

from django.db import migrations
from django.db.models.functions import Lower

ROWS = 1_000


def keep_whose(apps: Any, _schema_editor: Any) -> None:
    """Say of earlier sign-ins whose they are, where the name can have been nobody else's."""
    renamed = _renamed(apps)
    sign_in = apps.get_model("heygen_portal", "SignIn")
    for log, column in (("AccessLog", "succeeded"), ("AccessAttempt", "failed")):
        last = 0
        while rows := list(apps.get_model("axes", log).objects.filter(pk__gt=last).order_by("pk")[:ROWS]):
            people = _people(apps, {row.username.lower() for row in rows if row.username})
            found = []
            for row in rows:
                user = people.get((row.username or "").lower())
                if user and row.attempt_time >= max(user.date_joined, renamed.get(str(user.pk), user.date_joined)):
                    found.append(sign_in(user_id=user.pk, **{column: row}))
            sign_in.objects.bulk_create(found)
            last = rows[-1].pk


def _people(apps: Any, names: set[str]) -> dict[str, Any]:
    """Return people by lower-case name; nobody where two differ in capital letters only."""
    people: dict[str, Any] = {}
    for user in apps.get_model("auth", "User").objects.annotate(lower=Lower("username")).filter(lower__in=names):
        people[user.lower] = None if user.lower in people else user
    return people


def _renamed(apps: Any) -> dict[str, Any]:
    """Return when people were last renamed, by their IDs as text: the admin's log tells."""
    renamings = apps.get_model("admin", "LogEntry").objects.filter(
        content_type__app_label="auth", content_type__model="user", change_message__contains='"Username"'
    )
    return dict(renamings.order_by("action_time").values_list("object_id", "action_time"))


class Migration(migrations.Migration):
    dependencies = [
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("heygen_portal", "0012_sign_in"),
    ]

    operations = [migrations.RunPython(keep_whose, migrations.RunPython.noop)]
