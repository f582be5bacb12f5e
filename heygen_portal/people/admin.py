"""Admin of users, roles and the audit log.

Users are deactivated, never deleted.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.permission_labels import PermissionsField
from heygen_portal.console.roles_field import RolesField
from heygen_portal.console.widgets import NoDelete, ReadOnly, confirm_dialog, object_or_404, redirect_to_change_page
from heygen_portal.people import closing
from heygen_portal.people.access import role_texts, roles, sudo
from heygen_portal.people.access.roles import STAFF_GROUPS
from heygen_portal.people.invitations import inviting
from heygen_portal.people.mail import security_mail
from heygen_portal.trail import audit_labels, audit_log, user_rows
from heygen_portal.trail.models import AuditEntry

# allauth's own pages change its data, and the environment configures single sign-on.
for model in (User, Group, EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken):
    admin.site.unregister(model)

BEFORE = "user_before"  # attribute of a request, from save_model to save_related: access, and the row
CLOSED_ACCOUNT_NOTICE = _(
    "This account is closed and cannot be changed or opened again. If the person comes back, create a new user."
)
SUPERUSER_FIELDS = ("is_superuser", "user_permissions")


if TYPE_CHECKING:
    AnyUserAdmin = DjangoUserAdmin[User]
else:
    AnyUserAdmin = DjangoUserAdmin


class UserAdmin(sudo.SudoToSave, NoDelete, AnyUserAdmin, ModelAdmin):
    """Base of the user admin. `sessions.admin.people` extends and registers it."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "roles", "is_active", "last_login")
    list_filter = ("groups", "is_active")
    search_fields = ("username__folded", "first_name__folded", "last_name__folded", "email__folded")
    filter_horizontal = ()
    readonly_fields = ("is_staff", "second_factor", "last_login", "date_joined")
    actions_detail: tuple[str, ...] = ("remove_second_factor",)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Personal information"), {"fields": ("first_name", "last_name", "email")}),
        (_("Sign-in"), {"fields": ("second_factor",)}),
        (_("Roles"), {"fields": ("is_active", "groups", "is_staff", *SUPERUSER_FIELDS)}),
        (_("Important dates"), {"fields": ("last_login", "date_joined")}),
    )

    @admin.display(description=_("roles"))
    def roles(self, user: User) -> str:
        return ", ".join(gettext(group.name) for group in user.groups.all()) or "–"

    @admin.display(description=_("second factor"), boolean=True)
    def second_factor(self, user: User) -> bool:
        return Authenticator.objects.filter(user=user.pk).exists()

    @action(
        description=_("Remove second factor"),
        permissions=["let_in"],
        dialog=confirm_dialog(
            _(
                "Remove the second factor? Do this only if the phone and the recovery codes are lost and you "
                "have verified the identity of the user."
            ),
            _("Remove"),
        ),
    )
    @sudo.required
    def remove_second_factor(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        user: User = object_or_404(self, request, object_id)
        removed, _rows = Authenticator.objects.filter(user=user).delete()
        if removed:
            audit_log.record(request, AuditEntry.Kind.SECOND_FACTOR_OFF, user)
            security_mail.send(request, user, "factor_off")
            self.message_user(request, gettext("This account is now protected by its password only."), messages.WARNING)
        return redirect_to_change_page(User, object_id)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            return RolesField(Group.objects.order_by("pk"), required=False, label=_("Roles"))
        if db_field.name == "user_permissions":
            rows = Permission.objects.select_related("content_type")
            return PermissionsField(rows, required=False, label=_("Permissions of this user"))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Closed accounts are read-only: a person who comes back gets a new user."""
        return self.may_manage(request, obj) and not (obj and closing.is_closed(obj))

    def may_manage(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Let only superusers change superusers.

        Setting a password would grant their access.
        """
        if obj and obj.is_superuser and not _is_superuser(request):
            return False
        return super().has_change_permission(request, obj)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj and closing.is_closed(obj):
            dates = ("username", "is_active", "date_joined")
            return [(None, {"fields": dates, "description": CLOSED_ACCOUNT_NOTICE})]
        return super().get_fieldsets(request, obj)

    def has_let_in_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        user = self.get_object(request, object_id) if object_id else None
        return self.has_change_permission(request, user)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        return self.readonly_fields if _is_superuser(request) else (*self.readonly_fields, *SUPERUSER_FIELDS)

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        stored = User.objects.select_for_update().filter(pk=obj.pk).first() if change else None
        if stored and closing.is_closed(stored):  # since the form was read: saving it would bring the names back
            raise PermissionDenied
        before = audit_log.access_of(stored) | audit_log.names_of(stored) if stored else {}
        rows_before = user_rows.access_rows(obj.pk) if stored else None
        vars(request)[BEFORE] = before, stored, rows_before
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: ModelForm[User], formsets: Any, change: bool) -> None:
        """Derive `is_staff` from the roles, record the change, and send mail."""
        super().save_related(request, form, formsets, change)
        user = form.instance
        user.is_staff = user.is_superuser or user.groups.filter(name__in=STAFF_GROUPS).exists()
        user.save(update_fields=["is_staff"])
        roles.enrol(user)
        before, stored, rows_before = vars(request)[BEFORE]
        audit_log.record_access_change(request, user, before, stored, rows_before)
        if change and before["username"] != user.username:
            security_mail.send(request, user, "username", addresses={before["email"]})
        if change and before["email"] != user.email:
            # Password reset links are sent to any of these addresses. The old one must not get them any more.
            EmailAddress.objects.filter(user=user).exclude(email__iexact=user.email).delete()
            security_mail.send(request, user, "address", addresses={before["email"], user.email})
        if change and (ended := inviting.revoke_all_of(request, user)):
            words = gettext("Open invitations were withdrawn: %(emails)s.")
            self.message_user(request, words % {"emails": ", ".join(map(str, ended))}, messages.WARNING)

    @sudo.required
    def user_change_password(self, request: HttpRequest, *args: str, **named: str) -> HttpResponse:
        with transaction.atomic():  # locked: saving a user that was read before the account was closed would undo that
            list(User.objects.select_for_update().filter(pk=(*args, *named.values())[0]))
            response: HttpResponse = super().user_change_password(request, *args, **named)
        if request.method == "POST" and response.status_code == HTTPStatus.FOUND:
            user: User = object_or_404(self, request, (*args, *named.values())[0])
            audit_log.record(request, AuditEntry.Kind.PASSWORD_SET, user)
            security_mail.send(request, user, "password")
        return response


@admin.register(Group)
class GroupAdmin(ReadOnly, ModelAdmin):
    """Read-only view of the roles, which are defined in `roles`."""

    list_display = ("role",)
    search_fields = ("name__folded",)
    fields = ("role", "abilities")

    @admin.display(description=_("role"), ordering="name")
    def role(self, group: Group) -> str:
        return gettext(group.name)

    @admin.display(description=_("may"))
    def abilities(self, group: Group) -> str:
        rows = group.permissions.values_list("content_type__app_label", "codename")
        allowed = role_texts.abilities({f"{app}.{codename}" for app, codename in rows})
        return format_html_join(mark_safe("<br>"), "{}", ((words,) for words in allowed)) or "–"


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, ModelAdmin):
    """Read-only audit log."""

    list_display = ("at", "kind", "about", "by", "address", "what")
    list_filter = (("kind", ChoicesDropdownFilter),)
    list_filter_submit = True
    list_select_related = ("by",)
    search_fields = ("about__folded", "by__username__folded")
    date_hierarchy = "at"
    fields = ("number", "at", "kind", "about", "by", "address", "what", "data", "previous_hash", "hash")
    readonly_fields = ("what", "previous_hash", "hash")

    @admin.display(description=_("what"))
    def what(self, entry: AuditEntry) -> str:
        return audit_labels.describe(entry)


def _is_superuser(request: HttpRequest) -> bool:
    return request.user.is_active and request.user.is_superuser
