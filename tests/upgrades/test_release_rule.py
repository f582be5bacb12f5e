"""Migrations that break older code are contract steps.

See docs/installation.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from django.db import models
from django.db.migrations import operations as ops
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

# Newest migrations before the rule.
BEFORE = {"avatars": "0017", "avatar_sessions": "0036", "heygen_portal": "0018"}
# Migrations that only run once no process has the code of the release before, as ("avatars", "0099_drop_note").
# Name in the changelog the release from which an upgrade must start.
CONTRACT_STEPS: set[tuple[str, str]] = set()
REMOVALS = (ops.RemoveField, ops.DeleteModel, ops.RenameField, ops.RenameModel, ops.AlterModelTable)


def breaks_older_code(operation: Operation, app: str, before: ProjectState) -> bool:
    """Whether code from before the operation would fail on the table.

    Statements in RunSQL and RunPython are not examined.
    """
    if isinstance(operation, ops.SeparateDatabaseAndState):
        return any(breaks_older_code(each, app, before) for each in operation.database_operations)
    if isinstance(operation, ops.AddField):
        return not operation.field.many_to_many and is_required(operation.field)
    if isinstance(operation, ops.AlterField):
        old = before.models[app, operation.model_name_lower].get_field(operation.name)
        is_renamed = old.db_column != operation.field.db_column
        return is_renamed or (is_required(operation.field) and not is_required(old))
    return isinstance(operation, REMOVALS)


def is_required(field: models.Field[object, object]) -> bool:
    return not field.null and not field.has_db_default()


def contract_steps_on_disk() -> Iterator[tuple[str, str]]:
    loader = MigrationLoader(None)
    for key, migration in loader.disk_migrations.items():
        app, name = key
        if name[:4] <= BEFORE.get(app, "9999"):
            continue
        if is_contract_step(migration.operations, app, loader.project_state(key, at_end=False)):
            yield key


def is_contract_step(operations: Sequence[Operation], app: str, before: ProjectState) -> bool:
    """Whether older code would not survive a migration. It does not know the tables that the migration creates."""
    created: set[str] = set()
    for operation in operations:
        if isinstance(operation, ops.CreateModel):
            created.add(operation.name_lower)
        elif getattr(operation, "model_name_lower", "") not in created and breaks_older_code(operation, app, before):
            return True
        operation.state_forwards(app, before)
    return False


def test_every_new_migration_that_older_code_would_not_survive_is_listed() -> None:
    assert set(contract_steps_on_disk()) == CONTRACT_STEPS


TABLE = ops.CreateModel("Note", [("id", models.AutoField(primary_key=True)), ("text", models.TextField(null=True))])
EXPANDING: Sequence[Operation] = (
    ops.AddField("note", "more", models.TextField(null=True)),
    ops.AddField("note", "more", models.TextField(db_default="")),
    ops.AddField("note", "others", models.ManyToManyField("avatars.Note")),
    ops.AlterField("note", "text", models.TextField(null=True, help_text="A text.")),
    ops.AddIndex("note", models.Index("text", name="note_text")),
    ops.SeparateDatabaseAndState(state_operations=[ops.RemoveField("note", "text")]),
    TABLE,
)
CONTRACTING: Sequence[Operation] = (
    ops.AddField("note", "more", models.TextField(default="")),
    ops.AlterField("note", "text", models.TextField(default="")),
    ops.AlterField("note", "text", models.TextField(null=True, db_column="content")),
    ops.RemoveField("note", "text"),
    ops.RenameField("note", "text", "content"),
    ops.RenameModel("Note", "Memo"),
    ops.AlterModelTable("note", "memo"),
    ops.DeleteModel("Note"),
    ops.SeparateDatabaseAndState([ops.RemoveField("note", "text")]),
)


@pytest.mark.parametrize("operation", [*EXPANDING, *CONTRACTING])
def test_operations_that_older_code_would_not_survive_are_known(operation: Operation) -> None:
    before = ProjectState()
    TABLE.state_forwards("avatars", before)
    assert breaks_older_code(operation, "avatars", before) == (operation in CONTRACTING)


def test_a_required_column_of_a_table_of_the_same_migration_breaks_nothing() -> None:
    column = ops.AddField("note", "persona", models.ForeignKey("avatars.Persona", models.CASCADE))
    with_table, existing = ProjectState(), ProjectState()
    TABLE.state_forwards("avatars", existing)
    assert not is_contract_step([TABLE, column], "avatars", with_table)
    assert is_contract_step([column], "avatars", existing)
