"""All permissions that the code checks."""

from __future__ import annotations

from enum import StrEnum

from django.apps import apps
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class Permission(StrEnum):
    """Django's permissions under the product's names.

    `people.access.roles` assigns them to roles.
    """

    # Sessions
    START_SESSION = "avatar_sessions.start_streamingsession"
    VIEW_SESSION = "avatar_sessions.view_streamingsession"
    STOP_SESSION = "avatar_sessions.stop_streamingsession"
    OBSERVE_SESSION = "avatar_sessions.observe_streamingsession"
    VIEW_EVENT = "avatar_sessions.view_sessionevent"
    VIEW_COSTS = "avatar_sessions.view_sessiontotal"
    VIEW_QUEUE = "avatar_sessions.view_queueplace"
    VIEW_TASK = "avatar_sessions.view_sessiontask"
    VIEW_TRANSCRIPT = "avatar_sessions.view_utterance"
    ADD_EXPORT = "avatar_sessions.add_export"
    VIEW_EXPORT = "avatar_sessions.view_export"
    VIEW_MESSAGE = "avatar_sessions.view_staffmessage"
    CHANGE_MESSAGE = "avatar_sessions.change_staffmessage"
    VIEW_INTEGRITY_CHECK = "avatar_sessions.view_historycheck"
    VIEW_INCIDENT = "avatar_sessions.view_incident"
    VIEW_LEGAL_HOLD = "avatar_sessions.view_legalhold"
    ADD_LEGAL_HOLD = "avatar_sessions.add_legalhold"
    CHANGE_LEGAL_HOLD = "avatar_sessions.change_legalhold"
    VIEW_ERASURE = "avatar_sessions.view_erasure"
    ADD_ERASURE = "avatar_sessions.add_erasure"
    VIEW_QUOTA = "avatar_sessions.view_allowance"
    ADD_QUOTA = "avatar_sessions.add_allowance"
    CHANGE_QUOTA = "avatar_sessions.change_allowance"
    DELETE_QUOTA = "avatar_sessions.delete_allowance"

    # Personas, catalogue and provider accounts
    VIEW_PERSONA = "avatars.view_persona"
    ADD_PERSONA = "avatars.add_persona"
    CHANGE_PERSONA = "avatars.change_persona"
    DELETE_PERSONA = "avatars.delete_persona"
    PUBLISH_PERSONA = "avatars.publish_persona"
    VIEW_AVATAR = "avatars.view_avatar"
    VIEW_VOICE = "avatars.view_voice"
    VIEW_KNOWLEDGE = "avatars.view_knowledgebase"
    ADD_KNOWLEDGE = "avatars.add_knowledgebase"
    CHANGE_KNOWLEDGE = "avatars.change_knowledgebase"
    VIEW_LIBRARY = "avatars.view_library"
    ADD_LIBRARY = "avatars.add_library"
    CHANGE_LIBRARY = "avatars.change_library"
    VIEW_VIDEO = "avatars.view_video"
    ADD_VIDEO = "avatars.add_video"
    VIEW_ACCOUNT = "avatars.view_provideraccount"
    ADD_ACCOUNT = "avatars.add_provideraccount"
    CHANGE_ACCOUNT = "avatars.change_provideraccount"
    VIEW_MODEL_SERVICE = "avatars.view_modelservice"
    ADD_MODEL_SERVICE = "avatars.add_modelservice"
    CHANGE_MODEL_SERVICE = "avatars.change_modelservice"

    VIEW_TOOL = "avatars.view_httptool"
    ADD_TOOL = "avatars.add_httptool"
    CHANGE_TOOL = "avatars.change_httptool"

    # People
    VIEW_USER = "auth.view_user"
    ADD_USER = "auth.add_user"
    CHANGE_USER = "auth.change_user"
    VIEW_ROLE = "auth.view_group"

    # Access and audit
    VIEW_INVITATION = "heygen_portal.view_invitation"
    ADD_INVITATION = "heygen_portal.add_invitation"
    CHANGE_INVITATION = "heygen_portal.change_invitation"
    VIEW_API_KEY = "heygen_portal.view_apikey"
    ADD_API_KEY = "heygen_portal.add_apikey"
    CHANGE_API_KEY = "heygen_portal.change_apikey"
    VIEW_AUDIT_LOG = "heygen_portal.view_auditentry"
    VIEW_ORGANISATION = "heygen_portal.view_organisation"
    CHANGE_ORGANISATION = "heygen_portal.change_organisation"
    VIEW_WEBHOOK = "heygen_portal.view_webhook"
    ADD_WEBHOOK = "heygen_portal.add_webhook"
    CHANGE_WEBHOOK = "heygen_portal.change_webhook"
    DELETE_WEBHOOK = "heygen_portal.delete_webhook"


ACTIONS = {"add": _("Can add"), "change": _("Can change"), "delete": _("Can delete"), "view": _("Can view")}


def label(codename: str) -> str:
    """Return a permission's label in the active language, such as "Sessions: Can stop any session".

    Django stores them in English. One that no model has is shown as its code.
    """
    action = ACTIONS.get(codename.partition("_")[0])
    for model in apps.get_models():
        own = dict(model._meta.permissions)
        usual = {f"{name}_{model._meta.model_name}" for name in model._meta.default_permissions}
        if codename in usual | own.keys():
            name = capfirst(str(model._meta.verbose_name_plural))
            return f"{name}: {action or gettext(str(own[codename]))}"
    return codename
