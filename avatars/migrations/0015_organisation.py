"""Everything belongs to the default organisation."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("avatars", "0014_knowledge_versions"),
        ("heygen_portal", "0014_organisation"),
    ]

    operations = [
        migrations.AddField(
            model_name="persona",
            name="organisation",
            field=models.ForeignKey(
                default=1,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="personas",
                to="heygen_portal.organisation",
                verbose_name="organisation",
            ),
        ),
        migrations.AddField(
            model_name="provideraccount",
            name="organisation",
            field=models.ForeignKey(
                default=1,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="accounts",
                to="heygen_portal.organisation",
                verbose_name="organisation",
            ),
        ),
    ]
