"""A portal with rows from before the audit log stated every row, so that tests can store rows directly."""

from __future__ import annotations

from django.db import connection

from heygen_portal.trail import db_triggers, signing

SIGN = "UPDATE heygen_portal_audithead SET signature = %s WHERE number = 0"


def sign_head_as_before(signed: tuple[object, ...] = ("audit", 0, "")) -> None:
    """Sign the head of the empty audit log as earlier versions did, or as `signed` says."""
    with db_triggers.disabled(connection), connection.cursor() as cursor:
        cursor.execute(SIGN, [signing.sign(*signed)])
