"""A portal upgraded from before the audit log covered every row.

Tests can store rows directly in it.
"""

from __future__ import annotations

from django.db import connection

from heygen_portal.trail import db_triggers, signing

SIGN = "UPDATE heygen_portal_audithead SET signature = %s WHERE number = 0"


def sign_head_as_before(signed: tuple[object, ...] = ("audit", 0, "")) -> None:
    """Sign the head of the empty audit log like an earlier version, or `signed`."""
    with db_triggers.disabled(connection), connection.cursor() as cursor:
        cursor.execute(SIGN, [signing.sign(*signed)])
