from django.apps import AppConfig


class HeygenPortalConfig(AppConfig):
    name = "heygen_portal"

    def ready(self) -> None:
        # Jobs are sent from the web process too, and must find the broker.
        from heygen_portal import celery, checks  # noqa: F401, PLC0415 - only once Django is set up
