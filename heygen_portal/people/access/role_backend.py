"""Permission checks against the table of roles in code.

Django's own backend reads what a group permits from the database, where a row added by SQL would grant access.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet

from heygen_portal.people.access import roles


class RoleBackend(ModelBackend):
    """Decides about permissions: those of the user's roles, and individual ones.

    It must precede Django's `ModelBackend`, which only signs in. PermissionDenied keeps Django from asking that one.
    """

    def authenticate(self, request: Any, username: Any = None, password: Any = None, **more: Any) -> None:
        """Leave signing in to the next backend."""

    async def aauthenticate(self, request: Any, username: Any = None, password: Any = None, **more: Any) -> None:
        """Leave signing in to the next backend."""

    def get_group_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        if not _is_asked_about_roles(user_obj, obj):
            return super().get_group_permissions(user_obj, obj)
        if not hasattr(user_obj, "_group_perm_cache"):
            user_obj._group_perm_cache = roles.permissions_of(_group_names(user_obj))
        found: set[str] = user_obj._group_perm_cache
        return found

    async def aget_group_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        if not _is_asked_about_roles(user_obj, obj):
            return await super().aget_group_permissions(user_obj, obj)
        if not hasattr(user_obj, "_group_perm_cache"):
            user_obj._group_perm_cache = roles.permissions_of([name async for name in _group_names(user_obj)])
        found: set[str] = user_obj._group_perm_cache
        return found

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return _or_deny(super().has_perm(user_obj, perm, obj))

    async def ahas_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return _or_deny(await super().ahas_perm(user_obj, perm, obj))

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return _or_deny(super().has_module_perms(user_obj, app_label))

    async def ahas_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return _or_deny(await super().ahas_module_perms(user_obj, app_label))

    def with_perm(
        self, perm: Any, is_active: bool | None = True, include_superusers: bool = True, obj: Any = None
    ) -> QuerySet[User]:
        if obj is not None:
            return User.objects.none()
        app_label, codename = str(perm).split(".")
        individual = User.user_permissions.through.objects.filter(
            user=OuterRef("pk"), permission__codename=codename, permission__content_type__app_label=app_label
        )
        by_role = User.groups.through.objects.filter(user=OuterRef("pk"), group__name__in=roles.groups_with(perm))
        holders = Exists(individual) | Exists(by_role)
        if include_superusers:
            holders |= Q(is_superuser=True)
        return User.objects.filter(holders, **({} if is_active is None else {"is_active": is_active}))


def _is_asked_about_roles(user: Any, obj: Any) -> bool:
    return user.is_active and not user.is_anonymous and not user.is_superuser and obj is None


def _group_names(user: Any) -> QuerySet[Group, str]:
    names: QuerySet[Group, str] = user.groups.order_by().values_list("name", flat=True)
    return names


def _or_deny(is_granted: bool) -> bool:
    if not is_granted:
        raise PermissionDenied
    return True
