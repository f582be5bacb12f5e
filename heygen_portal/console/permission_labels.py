"""The form field for permissions."""

from __future__ import annotations

from django.contrib.auth.models import Permission
from unfold.widgets import UnfoldAdminSelectMultipleWidget

from heygen_portal import permissions
from heygen_portal.runtime.generics import AnyModelMultipleChoiceField


class PermissionsField(AnyModelMultipleChoiceField):
    """A choice among all permissions."""

    widget = UnfoldAdminSelectMultipleWidget

    def label_from_instance(self, obj: Permission) -> str:
        return permissions.label(obj.codename)
