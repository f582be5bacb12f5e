"""Names of two models in Python. Tables and permissions keep the names that are stored."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("avatar_sessions", "0032_queue_offers"),
        ("heygen_portal", "0016_kind_account_closed"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelTable("queueplace", "avatar_sessions_queueplace"),
        migrations.RenameModel("QueuePlace", "QueueEntry"),
        migrations.AlterModelTable("allowance", "avatar_sessions_allowance"),
        migrations.RenameModel("Allowance", "Quota"),
        migrations.AlterModelOptions(
            name="queueentry",
            options={
                "default_permissions": (),
                "ordering": ("created_at", "pk"),
                "permissions": (("view_queueplace", "Can view queue position"),),
                "verbose_name": "queue position",
                "verbose_name_plural": "queue positions",
            },
        ),
        migrations.AlterModelOptions(
            name="quota",
            options={
                "default_permissions": (),
                "permissions": (
                    ("view_allowance", "Can view quota"),
                    ("add_allowance", "Can add quota"),
                    ("change_allowance", "Can change quota"),
                    ("delete_allowance", "Can delete quota"),
                ),
                "verbose_name": "quota",
                "verbose_name_plural": "quotas",
            },
        ),
        migrations.AlterField(
            model_name="quota",
            name="group",
            field=models.OneToOneField(
                blank=True,
                help_text="The quota applies to each member.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="quota",
                to="auth.group",
                verbose_name="group",
            ),
        ),
        migrations.AlterField(
            model_name="quota",
            name="organisation",
            field=models.ForeignKey(
                default=1,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="quotas",
                to="heygen_portal.organisation",
                verbose_name="organisation",
            ),
        ),
        migrations.AlterField(
            model_name="quota",
            name="user",
            field=models.OneToOneField(
                blank=True,
                help_text="Choose a user or a group, not both.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="quota",
                to=settings.AUTH_USER_MODEL,
                verbose_name="user",
            ),
        ),
    ]
