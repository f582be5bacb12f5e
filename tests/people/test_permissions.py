"""Permissions in Python code, in templates and in Django agree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.contrib.auth.models import Permission as StoredPermission
from django.test import Client

from heygen_portal import permissions
from heygen_portal.people.access import roles
from heygen_portal.permissions import Permission

ROOT = Path(permissions.__file__).parents[1]


@pytest.mark.django_db
def test_django_has_every_permission_of_the_table() -> None:
    rows = StoredPermission.objects.values_list("content_type__app_label", "codename")
    assert set(Permission) - {f"{app}.{codename}" for app, codename in rows} == set()


@pytest.mark.django_db
def test_the_page_of_a_role_says_in_the_users_language_what_it_allows(admin_client: Client) -> None:
    page = f"/admin/auth/group/{Group.objects.get(name=roles.OPERATOR.group).pk}/change/"
    spanish = admin_client.get(page, headers={"accept-language": "es"}).content.decode()
    assert "Detener cualquier sesión<br>" in spanish
    assert "Puede ver" not in spanish
    assert "Can " not in spanish


def test_roles_and_templates_use_the_table() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "templates").rglob("*.html"))
    asked = set(re.findall(r"\bperms\.(\w+\.\w+)", pages))
    assert asked
    assert asked <= set(Permission)
    assert {name for role in roles.ROLES for name in role.permissions} <= set(Permission)


@pytest.mark.parametrize(
    ("permission", "names"),
    [
        (Permission.START_SESSION, ["End users", "Editors", "Operators", "Administrators"]),
        (Permission.CHANGE_PERSONA, ["Editors", "Administrators"]),
        (Permission.STOP_SESSION, ["Operators", "Administrators"]),
        (Permission.OBSERVE_SESSION, ["Operators", "Administrators"]),
        (Permission.VIEW_TRANSCRIPT, ["Auditors", "Administrators"]),
        (Permission.ADD_EXPORT, ["Auditors", "Administrators"]),
        (Permission.CHANGE_ACCOUNT, ["Administrators"]),
    ],
)
def test_no_other_role_has_a_permission(permission: Permission, names: list[str]) -> None:
    """Users may have several roles, so that a permission counts although its role does not reach the page."""
    assert [role.group for role in roles.ROLES if permission in role.permissions] == names


def test_python_writes_no_permission_as_a_string() -> None:
    retyped = [
        f"{path.relative_to(ROOT)}: {node.value}"
        for app in ("heygen_portal", "avatars", "sessions")
        for path in (ROOT / app).rglob("*.py")
        if "migrations" not in path.parts and path != Path(permissions.__file__)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in set(Permission)
    ]
    assert retyped == []
