"""Admin pages of this app. Each module registers its own."""

from avatars.accounts import admin as account_admin
from avatars.catalogue import admin as catalogue_admin
from avatars.documents import admin as document_admin
from avatars.knowledge import admin as knowledge_admin
from avatars.model_services import admin as model_service_admin
from avatars.personas import admin as persona_admin
from avatars.tools import admin as tool_admin
from avatars.videos import admin as video_admin

__all__ = [
    "account_admin",
    "catalogue_admin",
    "document_admin",
    "knowledge_admin",
    "model_service_admin",
    "persona_admin",
    "tool_admin",
    "video_admin",
]
