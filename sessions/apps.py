from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AvatarSessionsConfig(AppConfig):
    name = "sessions"
    label = "avatar_sessions"  # "sessions" belongs to django.contrib.sessions
    verbose_name = _("Conversations")
    default_auto_field = "django.db.models.BigAutoField"
