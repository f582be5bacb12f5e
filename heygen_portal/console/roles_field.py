"""The form field for roles."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.utils.translation import gettext
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from heygen_portal.runtime.generics import AnyModelMultipleChoiceField


class RolesField(AnyModelMultipleChoiceField):
    """Checkboxes of all roles, in the user's language."""

    widget = UnfoldAdminCheckboxSelectMultipleWidget

    def label_from_instance(self, obj: Group) -> str:
        return gettext(obj.name)
