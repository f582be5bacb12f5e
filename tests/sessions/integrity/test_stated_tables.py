"""The tables whose rows the record and the audit log state."""

from __future__ import annotations

import pytest

from heygen_portal.trail.statements import Table
from sessions.capacity import queue
from sessions.integrity import audit_statements, verification
from sessions.lifecycle import coverage
from tests.support.factories import ProviderAccountFactory

TABLES = {**coverage.TABLES, **coverage.AUDITED}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_exceptions_name_columns_that_exist(table: Table) -> None:
    columns = {column.name for column in table.model._meta.concrete_fields}
    assert {*table.uncovered, *table.late, *table.derived} <= columns


@pytest.mark.django_db
def test_what_the_provider_says_of_an_account_is_no_tampering() -> None:
    account = ProviderAccountFactory.create()
    audit_statements.upgrade()
    queue.record_full(account.pk)
    type(account).objects.filter(pk=account.pk).update(unknown_sessions=[{"id": "s1", "status": "", "seen_at": ""}])
    assert list(verification.faults()) == []
