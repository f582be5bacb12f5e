"""Operations on users and invitations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User
from django.utils.translation import gettext_lazy as _
from ninja import Path, Query, Schema
from ninja.responses import Status as Answer
from pydantic import StringConstraints

from heygen_portal.models import Invitation
from heygen_portal.people.access import roles
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.people.invitations import inviting
from heygen_portal.people.invitations.admin import InvitationForm
from heygen_portal.rest import pages, problems
from heygen_portal.rest.operations import ApiRequest, Operations
from heygen_portal.rest.pages import Page, PageQuery
from heygen_portal.rest.schemas import Input, Key
from heygen_portal.runtime.in_thread import in_thread

operations = Operations("Users")
RoleName = Literal["end_user", "editor", "operator", "auditor", "administrator"]
ROLES: dict[str, roles.Role] = {
    "end_user": roles.END_USER,
    "editor": roles.EDITOR,
    "operator": roles.OPERATOR,
    "auditor": roles.AUDITOR,
    "administrator": roles.ADMINISTRATOR,
}
NAMES = {role.group: name for name, role in ROLES.items()}


class UserOut(Schema):
    """A user of the portal."""

    id: int
    username: str
    first_name: str
    last_name: str
    email: str
    is_active: bool
    roles: list[str]
    joined_at: datetime

    @classmethod
    def of(cls, row: User) -> UserOut:
        names = sorted(NAMES[group.name] for group in row.groups.all() if group.name in NAMES)
        return cls(
            id=row.pk,
            username=row.get_username(),
            first_name=row.first_name,
            last_name=row.last_name,
            email=row.email,
            is_active=bool(row.is_active),
            roles=names,
            joined_at=row.date_joined,
        )


class InvitationOut(Schema):
    """An invitation to become a user."""

    id: UUID
    email: str
    role: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, row: Invitation) -> InvitationOut:
        return cls(
            id=row.pk,
            email=row.email,
            role=NAMES.get(row.group.name, ""),
            created_at=row.created_at,
            expires_at=row.expires_at,
            used_at=row.used_at,
            revoked_at=row.revoked_at,
        )


class NewInvitation(Input):
    """An invitation of one address, with one role."""

    email: Annotated[
        str, StringConstraints(max_length=150, pattern=r"^[a-zA-Z0-9_]+([.+-][a-zA-Z0-9_]+)*@([a-z0-9]+\.)+[a-z]{2,}$")
    ]
    role: RoleName


class SentInvitation(InvitationOut):
    """A new invitation, with its link. Whoever has the link can use it once."""

    link: str
    is_mailed: bool


class UserQuery(PageQuery):
    is_active: bool | None = None


@operations.get("/users", scopes=(Scope.USERS_READ,), response=Page[UserOut])
async def list_users(request: ApiRequest, query: Query[UserQuery]) -> Page[UserOut]:
    """List users."""
    return await in_thread(_users)(query)


def _users(query: UserQuery) -> Page[UserOut]:
    rows = User.objects.prefetch_related("groups")
    rows = rows if query.is_active is None else rows.filter(is_active=query.is_active)
    found, next_cursor = pages.read(rows, query, by="pk", newest_first=False)
    return Page(items=[UserOut.of(row) for row in found], next_cursor=next_cursor)


@operations.get("/users/{user_id}", scopes=(Scope.USERS_READ,), response=UserOut)
async def get_user(request: ApiRequest, user_id: Path[Key]) -> UserOut:
    """Return one user."""
    return await in_thread(_user)(user_id)


def _user(user_id: int) -> UserOut:
    row = User.objects.filter(pk=user_id).first()
    if row is None:
        raise problems.not_found()
    return UserOut.of(row)


@operations.get("/invitations", scopes=(Scope.USERS_READ,), response=Page[InvitationOut])
async def list_invitations(request: ApiRequest, query: Query[PageQuery]) -> Page[InvitationOut]:
    """List invitations, the newest first."""
    return await in_thread(_invitations)(query)


def _invitations(query: PageQuery) -> Page[InvitationOut]:
    found, next_cursor = pages.read(Invitation.objects.select_related("group"), query)
    return Page(items=[InvitationOut.of(row) for row in found], next_cursor=next_cursor)


@operations.post("/invitations", scopes=(Scope.USERS_INVITE,), response={201: SentInvitation})
async def invite_user(request: ApiRequest, body: NewInvitation) -> Answer[SentInvitation]:
    """Invite an address. An earlier invitation of the same address is withdrawn."""
    # In the request's own thread, as a page: the service may wait for the mail server.
    return Answer(201, await sync_to_async(_invite)(request, body))


def _invite(request: ApiRequest, body: NewInvitation) -> SentInvitation:
    request.user = User.objects.get(pk=request.caller.user_id)
    group = Group.objects.get(name=ROLES[body.role].group)
    form = InvitationForm({"email": body.email, "group": group.pk})
    if not form.is_valid():
        raise problems.refused_form("invitation_refused", _("This invitation is not possible."), form.errors)
    invitation: Invitation = form.save(commit=False)
    inviting.invite(request, invitation)
    described = InvitationOut.of(invitation).model_dump()
    link, is_mailed = inviting.link(request, invitation), inviting.send_mail(request, invitation)
    return SentInvitation(**described, link=link, is_mailed=is_mailed)


@operations.post("/invitations/{uuid:invitation_id}/withdraw", scopes=(Scope.USERS_INVITE,), response=InvitationOut)
async def withdraw_invitation(request: ApiRequest, invitation_id: UUID) -> InvitationOut:
    """Withdraw an invitation: its link stops working. Repeating it changes nothing."""
    return await sync_to_async(_withdraw)(request, invitation_id)


def _withdraw(request: ApiRequest, invitation_id: UUID) -> InvitationOut:
    request.user = User.objects.get(pk=request.caller.user_id)
    invitation = Invitation.objects.filter(pk=invitation_id).first()
    if invitation is None:
        raise problems.not_found()
    inviting.revoke(request, invitation)
    return InvitationOut.of(Invitation.objects.select_related("group").get(pk=invitation_id))
