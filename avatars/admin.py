"""The area's pages in the admin; each module registers its own."""

from avatars import account_admin, catalogue_admin, knowledge_admin, persona_admin, video_admin

__all__ = ["account_admin", "catalogue_admin", "knowledge_admin", "persona_admin", "video_admin"]
