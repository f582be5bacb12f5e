"""Change the organisation's settings, on record."""

from __future__ import annotations

import hashlib

from django.db import transaction

from heygen_portal.branding import current as brands
from heygen_portal.branding.pictures import Purpose, Refused, Rendered
from heygen_portal.models import BrandPicture, Organisation
from heygen_portal.models.organisation import ORGANISATION
from heygen_portal.trail import audit_log, change_log, statements
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry


@transaction.atomic
def store(organisation: Organisation, actor: Actor, *pictures: Rendered) -> None:
    """Store changed settings, and pictures that they name, with an audit entry.

    A change of the notice that users accept makes a new version of it. Pictures that are no longer named are deleted.
    """
    stored = Organisation.objects.select_for_update().get(pk=organisation.pk)
    is_notice_changed = any(
        getattr(stored, name) != getattr(organisation, name) for name in Organisation.NOTICE_COLUMNS
    )
    organisation.consent_version = stored.consent_version + is_notice_changed
    for picture in pictures:
        columns = {"content": picture.content, "width": picture.width, "height": picture.height}
        BrandPicture.objects.update_or_create(sha256=picture.sha256, defaults=columns)
    organisation.save()
    named = {name for row in Organisation.objects.values_list("logo", "icon") for name in row}
    BrandPicture.objects.exclude(pk__in=named).delete()
    changes = change_log.diff(stored, organisation, [*change_log.editable_columns(Organisation), "consent_version"])
    stated = statements.changed(ORGANISATION, stored, organisation)
    change_log.record(actor, AuditEntry.Kind.ORGANISATION_CHANGED, organisation, changes, stated)
    transaction.on_commit(brands.forget)


def record_refused_picture(
    organisation: Organisation, actor: Actor, purpose: Purpose, why: Refused, file: bytes
) -> None:
    """Record that a file was refused as a picture of the brand. The entry has its hash, to find the file again."""
    audit_log.record_by(
        actor.user_id,
        actor.address,
        AuditEntry.Kind.PICTURE_REFUSED,
        organisation,
        what=str(purpose),
        reason=str(why),
        bytes=len(file),
        hash=hashlib.sha256(file).hexdigest(),
    )
