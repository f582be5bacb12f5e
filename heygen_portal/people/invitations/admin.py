"""Admin of invitations, with a link to copy or to send by mail."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget

from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import NoDelete, confirm_dialog, object_or_404, redirect_to_change_page
from heygen_portal.models import Invitation
from heygen_portal.people.access import sudo
from heygen_portal.people.access.roles import ROLES
from heygen_portal.people.invitations import inviting
from heygen_portal.runtime.generics import AnyModelChoiceField, AnyModelForm

LINK = "shown_link"  # attribute of an invitation, from get_object to the page


class RoleField(AnyModelChoiceField):
    """The portal's roles, in the user's language.

    Other groups are assigned on the user's page.
    """

    widget = UnfoldAdminSelectWidget

    def label_from_instance(self, obj: Group) -> str:
        return gettext(obj.name)


class InvitationForm(AnyModelForm):
    class Meta:
        model = Invitation
        fields = ("email", "group")

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].lower()
        if User.objects.filter(email__iexact=email).exists() or User.objects.filter(username__iexact=email).exists():
            raise ValidationError(_("There is already a user with this address. Assign the role on the user’s page."))
        return email


@admin.register(Invitation)
class InvitationAdmin(sudo.SudoToSave, NoDelete, ModelAdmin):
    """Invitations cannot be edited: they are accepted, withdrawn or expire."""

    form = InvitationForm
    list_display = ("email", "role", "state", "invited_by", "created_at", "expires_at")
    list_select_related = ("group", "invited_by", "used_by")
    search_fields = ("email__folded",)
    fields = ("email", "role", "state_text", "link", "invited_by", "created_at", "expires_at", "used_by", "used_at")
    readonly_fields = fields
    actions = ("revoke",)
    actions_detail = ("revoke_one",)

    def get_fields(self, request: HttpRequest, obj: Invitation | None = None) -> tuple[str, ...]:
        return self.fields if obj else ("email", "group")

    def get_readonly_fields(self, request: HttpRequest, obj: Invitation | None = None) -> tuple[str, ...]:
        return self.readonly_fields if obj else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invitation]:
        rows: QuerySet[Invitation] = super().get_queryset(request)
        return rows.annotate(is_open=Exists(Invitation.objects.open().filter(pk=OuterRef("pk"))))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Invitation | None:
        """Attach the link, which uses the host of this request."""
        invitation: Invitation | None = super().get_object(request, object_id, from_field)
        if invitation:
            vars(invitation)[LINK] = inviting.link(request, invitation)
        return invitation

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "group":
            groups = Group.objects.filter(name__in=[role.group for role in ROLES]).order_by("pk")
            return RoleField(groups, label=_("Role"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Invitation, form: InvitationForm, change: bool) -> None:
        if change:
            return
        inviting.invite(request, obj)
        if inviting.send_mail(request, obj):
            words = gettext("An e-mail with the link is being sent to %(email)s.")
            self.message_user(request, words % {"email": obj.email}, messages.SUCCESS)
        else:
            words = gettext("No e-mail was sent. Copy the link and send it to %(email)s yourself.")
            self.message_user(request, words % {"email": obj.email}, messages.WARNING)

    def response_add(self, request: HttpRequest, obj: Invitation, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("admin:heygen_portal_invitation_change", obj.pk)

    @display(description=_("role"), ordering="group")
    def role(self, invitation: Invitation) -> str:
        return gettext(invitation.group.name)

    @display(description=_("status"), label={"open": "info", "accepted": "success", "revoked": "", "over": ""})
    def state(self, invitation: Invitation) -> tuple[str, str]:
        if invitation.used_at:
            return "accepted", gettext("accepted")
        if invitation.revoked_at:
            return "revoked", gettext("withdrawn")
        if _is_open(invitation):
            return "open", gettext("not accepted yet")
        if invitation.expires_at > timezone.now():
            return "over", gettext("invalid: the inviter may no longer invite users")
        return "over", gettext("expired")

    @display(description=_("status"))
    def state_text(self, invitation: Invitation) -> str:
        return self.state(invitation)[1]

    @display(description=_("link"))
    def link(self, invitation: Invitation) -> str:
        if not _is_open(invitation):
            return "–"
        return format_html("<code>{}</code>", vars(invitation)[LINK])

    @admin.action(description=_("Withdraw"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> None:
        for invitation in queryset:
            self._revoke(request, invitation)

    @action(
        description=_("Withdraw"),
        permissions=["change"],
        dialog=confirm_dialog(_("Withdraw this invitation? The link will stop working."), _("Withdraw")),
    )
    def revoke_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        self._revoke(request, object_or_404(self, request, object_id))
        return redirect_to_change_page(Invitation, object_id)

    def _revoke(self, request: HttpRequest, invitation: Invitation) -> None:
        if inviting.revoke(request, invitation):
            words = gettext("The invitation for %(email)s has been withdrawn.")
            self.message_user(request, words % {"email": invitation.email}, messages.SUCCESS)
        else:
            words = gettext("The invitation for %(email)s was no longer valid.")
            self.message_user(request, words % {"email": invitation.email}, messages.WARNING)


def _is_open(invitation: Invitation) -> bool:
    return bool(vars(invitation)["is_open"])  # annotated by get_queryset
