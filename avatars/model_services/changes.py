"""Changes of model services in the audit log."""

from __future__ import annotations

from avatars.models import ModelService
from avatars.models.stated import MODEL_SERVICE
from heygen_portal.trail import audit_log, change_log, statements
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry


def record(actor: Actor, before: ModelService | None, after: ModelService, *, has_new_key: bool) -> None:
    """Append what changed. Call it in the transaction of the change."""
    changes = change_log.diff(before, after, change_log.editable_columns(ModelService, exclude=["api_key"]))
    stated = statements.changed(MODEL_SERVICE, before, after)
    change_log.record(actor, AuditEntry.Kind.MODEL_CHANGED, after, changes, stated)
    if has_new_key:
        audit_log.record_by(actor.user_id, actor.address, AuditEntry.Kind.MODEL_KEY_SET, after)
