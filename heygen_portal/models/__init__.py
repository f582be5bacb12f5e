"""The app's models.

Those of the audit log live in `trail`, which imports none of the others.
"""

from heygen_portal.models.api_keys import ApiKey
from heygen_portal.models.api_requests import IdempotentRequest
from heygen_portal.models.invitations import Invitation, holders_of
from heygen_portal.models.organisation import DEFAULT_ORGANISATION, BrandPicture, Membership, Organisation
from heygen_portal.models.sign_in import PreferredLanguage, PreferredTimeZone, SignIn
from heygen_portal.models.webhooks import EventType, Webhook, WebhookDelivery, WebhookMessage
from heygen_portal.trail.models import AuditEntry, AuditHead

__all__ = [
    "DEFAULT_ORGANISATION",
    "ApiKey",
    "AuditEntry",
    "AuditHead",
    "BrandPicture",
    "EventType",
    "IdempotentRequest",
    "Invitation",
    "Membership",
    "Organisation",
    "PreferredLanguage",
    "PreferredTimeZone",
    "SignIn",
    "Webhook",
    "WebhookDelivery",
    "WebhookMessage",
    "holders_of",
]
