"""Everything belongs to the default organisation."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("avatar_sessions", "0023_end_reason_labels"),
        ("heygen_portal", "0014_organisation"),
    ]

    operations = [
        migrations.AddField(
            model_name="allowance",
            name="organisation",
            field=models.ForeignKey(
                default=1,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="allowances",
                to="heygen_portal.organisation",
                verbose_name="organisation",
            ),
        ),
    ]
