from importlib import import_module

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class HeygenPortalConfig(AppConfig):
    name = "heygen_portal"
    verbose_name = _("Access and audit log")

    def ready(self) -> None:
        # The web process sends jobs too, so it needs the broker's settings.
        import_module("heygen_portal.celery")
        import_module("heygen_portal.checks")
        from heygen_portal.people.access import roles
        from heygen_portal.runtime import folded_search

        folded_search.register()

        # The last of our apps, so all permissions exist by then.
        post_migrate.connect(roles.sync_after_migrating, sender=apps.get_app_config("avatar_sessions"))
