"""Admin modules of the app, for Django's autodiscovery.

Each registers its own pages.
"""

from heygen_portal.people import admin as people_admin
from heygen_portal.people.api_keys import admin as api_key_admin
from heygen_portal.people.invitations import admin as invitation_admin
from heygen_portal.people.organisation import admin as organisation_admin
from heygen_portal.webhooks import admin as webhook_admin
from heygen_portal.webhooks import delivery_admin

__all__ = [
    "api_key_admin",
    "delivery_admin",
    "invitation_admin",
    "organisation_admin",
    "people_admin",
    "webhook_admin",
]
