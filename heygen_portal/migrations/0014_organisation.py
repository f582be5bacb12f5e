"""An organisation owns accounts, personas, staff and quotas: create the one there is, and make staff its members."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


def create_organisation(apps: Any, schema_editor: Any) -> None:
    model, membership = (apps.get_model("heygen_portal", name) for name in ("Organisation", "Membership"))
    organisation = model.objects.create(name="Organisation")
    staff = apps.get_model("auth", "User").objects.filter(is_staff=True).values_list("pk", flat=True)
    membership.objects.bulk_create(membership(user_id=pk, organisation=organisation) for pk in staff)


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("heygen_portal", "0013_whose_sign_ins"),
    ]

    operations = [
        migrations.CreateModel(
            name="Organisation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=80, unique=True, verbose_name="name")),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="created"),
                ),
            ],
            options={
                "verbose_name": "organisation",
                "verbose_name_plural": "organisations",
            },
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("access_changed", "access changed"),
                    ("password_set", "password set"),
                    ("key_set", "provider key set"),
                    ("sessions_stopped", "sessions stopped"),
                    ("exported", "exported"),
                    ("searched", "transcripts searched"),
                    ("invited", "user invited"),
                    ("invitation_revoked", "invitation withdrawn"),
                    ("joined", "invitation accepted"),
                    ("second_factor_on", "second factor set up"),
                    ("second_factor_off", "second factor removed"),
                    ("account_changed", "provider account changed"),
                    ("published", "persona published"),
                    ("rolled_back", "persona rolled back"),
                    ("unpublished", "persona unpublished"),
                    ("persona_changed", "persona address or groups changed"),
                    ("allowance_changed", "quota changed"),
                    ("personal_data", "personal data exported"),
                    ("anchored", "anchored"),
                    ("export_state", "export state changed"),
                    ("record_checked", "integrity checked"),
                    ("record_upgraded", "rows of an earlier version covered"),
                    ("organisation_changed", "organisation renamed"),
                ],
                max_length=20,
                verbose_name="kind",
            ),
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="membership",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        default=1,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="memberships",
                        to="heygen_portal.organisation",
                        verbose_name="organisation",
                    ),
                ),
            ],
            options={
                "verbose_name": "membership",
                "verbose_name_plural": "memberships",
            },
        ),
        migrations.RunPython(create_organisation, migrations.RunPython.noop),
    ]
