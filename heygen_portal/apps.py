from importlib import import_module

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class HeygenPortalConfig(AppConfig):
    name = "heygen_portal"
    verbose_name = _("Access and audit log")

    def ready(self) -> None:
        # Jobs are sent from the web process too, and must find the broker.
        import_module("heygen_portal.celery")
        import_module("heygen_portal.checks")
        from heygen_portal.people.access import roles

        # The last of our apps: by then each permission of the table is there. Migrations themselves run before.
        post_migrate.connect(roles.sync_after_migrating, sender=apps.get_app_config("avatar_sessions"))
