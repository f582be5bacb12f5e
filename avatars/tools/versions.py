"""Versions of tools. Each save that changes one creates a version, and none is ever changed."""

from __future__ import annotations

from django.db import transaction

from avatars.models import HttpTool, HttpToolVersion
from avatars.models.model_services import ToolContent
from avatars.models.stated import HTTP_TOOL, HTTP_TOOL_VERSION
from heygen_portal.trail import audit_log, change_log, statements
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry


@transaction.atomic
def save(tool: HttpTool, actor: Actor) -> None:
    """Store a tool, its new version if its content changed, and an audit entry."""
    audit_log.lock_head()
    before = HttpTool.objects.select_for_update().filter(pk=tool.pk).first()
    tool.version = before.version if before else 0
    names = ToolContent.content_fields()
    is_changed = before is None or any(getattr(before, name) != getattr(tool, name) for name in names)
    tool.version += is_changed
    tool.save()
    changes = change_log.diff(before, tool, change_log.editable_columns(HttpTool, exclude=["secret_headers"]))
    stated = statements.changed(HTTP_TOOL, before, HttpTool.objects.get(pk=tool.pk))
    if is_changed:
        content = {name: getattr(tool, name) for name in names}
        made = HttpToolVersion.objects.create(tool=tool, number=tool.version, saved_by_id=actor.user_id, **content)
        stored = HttpToolVersion.objects.get(pk=made.pk)
        stated = statements.merged(stated, statements.state(HTTP_TOOL_VERSION, stored))
    change_log.record(actor, AuditEntry.Kind.TOOL_CHANGED, tool, changes, stated)
    if tool.secrets != (before.secrets if before else ""):
        audit_log.record_by(actor.user_id, actor.address, AuditEntry.Kind.TOOL_SECRET_SET, tool)
