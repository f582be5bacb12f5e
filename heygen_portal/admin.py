"""Where Django looks for the admin of the app; each module registers its own pages."""

from heygen_portal.people import admin as people_admin
from heygen_portal.people.invitations import admin as invitation_admin

__all__ = ["invitation_admin", "people_admin"]
