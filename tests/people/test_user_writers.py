"""Each write of a user's name or access is stated in the audit log.

No signal or trigger does it, because a trigger would also state what an attacker writes. A place that forgets it is
found by verification, and here by reading the code: a new one fails until it is listed and tried below.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client

from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from heygen_portal.trail.user_rows import ROLE, USER, USER_PERMISSION
from sessions.integrity import audit_statements, verification
from sessions.staff import persona_checks
from tests.people import test_invitations as invitations
from tests.support import older_portal
from tests.support.factories import EndUserFactory, UserFactory

ROOT = Path(__file__).parents[2]
# Method → why it may write users.
WRITERS = {
    "heygen_portal/people/access/management/commands/createsuperuser.py _RecordedUsers.__call__": "an unsaved example",
    "heygen_portal/people/access/live_access.py _is_signed_in": "not stored: checks a password hash",
    "heygen_portal/people/admin.py UserAdmin.save_related": "tried: the admin",
    "heygen_portal/people/closing.py _anonymise": "tried: closing an account",
    "heygen_portal/people/invitations/joining.py accept": "tried: accepting an invitation",
    "heygen_portal/people/invitations/joining.py give_role": "called by the one above",
    "heygen_portal/people/sign_in/adapters.py AccountAdapter.set_password": "writes the password only",
    "heygen_portal/people/sign_in/adapters.py SingleSignOnAdapter.populate_user": "tried in test_single_sign_on.py",
    "heygen_portal/people/views.py invitation": "tried: accepting an invitation",
    "avatars/management/commands/first_run.py Command._person": "tried: the first run",
    "sessions/staff/persona_checks.py _checker": "tried: the nightly check",
}
RELATING = {"add", "set", "remove", "clear"}
ACCESS_TABLES = {table.name for table in (USER, ROLE, USER_PERMISSION)}
STORING = {
    "create", "create_user", "create_superuser", "get_or_create", "update_or_create", "bulk_create", "bulk_update",
    "update",
}  # fmt: skip


@pytest.fixture(autouse=True)
def old_portal(transactional_db: None) -> None:
    """A log that states every user, so that one it does not state is named."""
    UserFactory.create(username="known")
    audit_log.lock_head()
    older_portal.sign_head_as_before()
    assert audit_statements.upgrade()


def add_in_the_admin() -> None:
    client = signed_in_administrator()
    page = client.post("/admin/auth/user/add/", {
        "username": "new", "password1": "wj3-longer-than-most", "password2": "wj3-longer-than-most",
        "usable_password": "true",
    })  # fmt: skip
    assert page.status_code == 302
    person = User.objects.get(username="new")
    page = client.post(f"/admin/auth/user/{person.pk}/change/", {
        "username": "newer", "first_name": "Ana", "last_name": "B", "email": "a@example.org", "is_active": "on",
    })  # fmt: skip
    assert page.status_code == 302
    assert User.objects.get(pk=person.pk).first_name == "Ana"
    change_roles(client, person)


def change_roles(client: Client, person: User) -> None:
    """Give roles and a permission, take some of them away, and leave some."""
    groups = [Group.objects.create(name=name) for name in ("First", "Second", "Third")]
    permission = Permission.objects.order_by("pk")[0]
    form = {"username": "newer", "first_name": "Ana", "last_name": "B", "email": "a@example.org", "is_active": "on"}
    for chosen, permissions in ((groups[:2], [permission.pk]), (groups[1:], [])):
        data = {**form, "groups": [group.pk for group in chosen], "user_permissions": permissions}
        assert client.post(f"/admin/auth/user/{person.pk}/change/", data).status_code == 302
        assert set(person.groups.all()) == set(chosen)


def signed_in_administrator() -> Client:
    call_command("createsuperuser", interactive=False, username="root", email="r@example.org", verbosity=0)
    client = Client()
    client.force_login(User.objects.get(username="root"))
    return client


def accept_an_invitation() -> None:
    from tests.support.factories import sync_roles

    sync_roles()
    signed_in_administrator()
    link = invitations.address(invitations.invited("ines@example.org"))
    assert Client().post(link, invitations.INES).status_code == 302
    assert User.objects.get(username="ines@example.org").first_name == "Inés"


def close_an_account() -> None:
    accept_an_invitation()
    person = User.objects.get(username="ines@example.org")
    client = Client()
    client.force_login(person)
    assert client.post("/data/close/", {"username": person.username}).status_code in (200, 302)
    assert User.objects.get(pk=person.pk).first_name == ""


def run_first(settings_free: None = None) -> None:
    call_command("first_run", verbosity=0)
    assert User.objects.filter(username="demo").exists()


def check_a_persona() -> None:
    assert persona_checks._checker() == persona_checks._checker()


ACTIONS = [
    signed_in_administrator,
    add_in_the_admin,
    accept_an_invitation,
    close_an_account,
    run_first,
    check_a_persona,
]


@pytest.mark.parametrize("act", ACTIONS)
def test_a_written_user_is_stated_in_the_audit_log(act: Callable[[], object], settings: object) -> None:
    settings.EMULATOR_URL = ""  # type: ignore[attr-defined]  # the fixture has no type
    before = set(User.objects.values_list("pk", flat=True))
    act()
    assert set(User.objects.values_list("pk", flat=True)) > before
    assert [fault.description() for fault in verification.faults() if fault.table in ACCESS_TABLES] == []


def test_a_name_changed_by_sql_is_named_even_after_a_later_change_in_the_portal() -> None:
    client = signed_in_administrator()
    person = User.objects.get(username="known")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE auth_user SET last_name = 'Forged' WHERE id = %s", [person.pk])
    form = {"username": "known", "first_name": "Ana", "last_name": "Forged", "email": "", "is_active": "on"}
    assert client.post(f"/admin/auth/user/{person.pk}/change/", form).status_code == 302
    found = [(fault.kind, fault.row, fault.column) for fault in verification.faults()]
    assert found == [("row_changed", str(person.pk), "last_name")]


def test_an_examined_row_can_be_accepted() -> None:
    with transaction.atomic():
        shell = EndUserFactory.create(username="made-in-a-shell")
    User.objects.filter(username="known").delete()
    found = {(fault.kind, fault.table) for fault in verification.faults()}
    assert found == {("row_added", "user"), ("row_added", "role"), ("row_deleted", "user")}
    gone = next(fault.row for fault in verification.faults() if fault.kind == "row_deleted")
    call_command("accept_row", "user", str(shell.pk))
    for pk in User.groups.through.objects.values_list("pk", flat=True):
        call_command("accept_row", "role", str(pk))
    call_command("accept_row", "user", gone)
    assert list(verification.faults()) == []
    kinds = list(AuditEntry.objects.order_by("-number").values_list("kind", flat=True)[:2])
    assert kinds == ["rows_accepted", "rows_accepted"]


def test_a_role_added_by_sql_is_named_even_after_a_later_change_in_the_portal() -> None:
    client = signed_in_administrator()
    person, stolen, given = User.objects.get(username="known"), *Group.objects.order_by("pk")[:2]
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO auth_user_groups (user_id, group_id) VALUES (%s, %s)", [person.pk, stolen.pk])
    form = {"username": "known", "is_active": "on", "groups": [stolen.pk, given.pk]}
    assert client.post(f"/admin/auth/user/{person.pk}/change/", form).status_code == 302
    row = User.groups.through.objects.get(group=stolen).pk
    assert [(fault.kind, fault.table, fault.row) for fault in verification.faults()] == [
        ("row_added", "role", str(row))
    ]


def writers() -> Iterator[str]:
    for app in ("heygen_portal", "avatars", "sessions"):
        for path in sorted((ROOT / app).rglob("*.py")):
            if not {"migrations", "emulator"} & set(path.parts):
                found = _Writers()
                found.visit(ast.parse(path.read_text()))
                yield from (f"{path.relative_to(ROOT)} {name}" for name in found.names)


class _Writers(ast.NodeVisitor):
    """The functions that create users, update them, or assign one of their columns."""

    def __init__(self) -> None:
        self.path: list[str] = []
        self.names: dict[str, None] = {}

    def visit(self, node: ast.AST) -> None:
        is_named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        self.path += [node.name] if is_named else []  # type: ignore[attr-defined]  # not narrowed by `is_named`
        if self._writes(node):
            self.names[".".join(self.path)] = None
        self.generic_visit(node)
        del self.path[len(self.path) - is_named :]

    def _writes(self, node: ast.AST) -> bool:
        match node:
            case ast.Call(func=ast.Name(id="User")):
                return True
            case ast.Call(func=ast.Attribute(attr=name, value=value)) if name in STORING:
                return ast.unparse(value).startswith("User.")
            case ast.Call(func=ast.Attribute(attr=name, value=ast.Attribute(attr="groups" | "user_permissions"))):
                return name in RELATING and not ast.unparse(node.func).startswith("persona.")
            case ast.Assign(targets=targets):
                return any(isinstance(each, ast.Attribute) and each.attr in USER.fields for each in targets)
        return False


def test_no_other_place_writes_users() -> None:
    assert set(writers()) == set(WRITERS)
