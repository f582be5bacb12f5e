"""Labels of permissions in the user's language. Django stores them in English."""

from __future__ import annotations

from django.contrib.auth.models import Permission
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectMultipleWidget

from heygen_portal.runtime.generics import AnyModelMultipleChoiceField

ACTIONS = {"add": _("Can add"), "change": _("Can change"), "delete": _("Can delete"), "view": _("Can view")}


def label(permission: Permission) -> str:
    """Return a label such as "Sessions: Can stop any session"."""
    model = permission.content_type.model_class()
    name = capfirst(str(model._meta.verbose_name_plural)) if model else permission.content_type.model
    action = ACTIONS.get(permission.codename.partition("_")[0])
    return f"{name}: {action or gettext(permission.name)}"


class PermissionsField(AnyModelMultipleChoiceField):
    """A choice among all permissions."""

    widget = UnfoldAdminSelectMultipleWidget

    def label_from_instance(self, obj: Permission) -> str:
        return label(obj)
