"""Open tabs, queue entries, and access of providers: rows that live only as long as a tab or a session."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from avatars.models import Persona, ProviderAccount
from sessions.models.conversations import StreamingSession
from sessions.models.guests import Guest, Owned


class ServerProcess(models.Model):
    """A web process that holds tabs and renews its lease.

    Once the lease runs out, its tabs count as closed.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    lease_ends_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return str(self.id)


class Tab(models.Model):
    """One browser tab on a session, held by one web process."""

    session = models.ForeignKey(StreamingSession, models.CASCADE, related_name="tabs")
    process = models.ForeignKey(ServerProcess, models.CASCADE, related_name="tabs")
    channel = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.channel


class MonitoredSession(models.Model):
    """A session whose provider's socket a monitor process holds.

    It is free again when that process's lease runs out.
    """

    session = models.OneToOneField(StreamingSession, models.CASCADE, primary_key=True, related_name="monitored")
    process = models.ForeignKey(ServerProcess, models.CASCADE, related_name="monitored_sessions")

    class Meta:
        # The name from when the model was called ChatWatch: it is stored.
        db_table = "avatar_sessions_chatwatch"

    def __str__(self) -> str:
        return str(self.session_id)


class QueueEntry(Owned):
    """A person's entry in an account's queue, held by the tab that waits.

    The oldest entry is next.
    """

    # A user or a guest.
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="queue_entry", verbose_name=_("user")
    )
    guest = models.OneToOneField(Guest, models.CASCADE, null=True, related_name="queue_entry", verbose_name=_("guest"))
    account = models.ForeignKey(
        ProviderAccount, models.CASCADE, related_name="queue_entries", verbose_name=_("account")
    )
    persona = models.ForeignKey(Persona, models.CASCADE, related_name="+", verbose_name=_("persona"))
    process = models.ForeignKey(ServerProcess, models.CASCADE, related_name="+")
    channel = models.CharField(max_length=100, unique=True)
    is_staff = models.BooleanField(_("may use slots reserved for staff"), default=False)
    created_at = models.DateTimeField(_("waiting since"), default=timezone.now)
    # Set while a slot is offered to this user: the offer expires then.
    offer_expires_at = models.DateTimeField(_("slot reserved until"), null=True, blank=True)

    class Meta:
        verbose_name = _("queue position")
        verbose_name_plural = _("queue positions")
        # Names from when entries were called places: they are stored.
        db_table = "avatar_sessions_queueplace"
        default_permissions = ()
        permissions = (("view_queueplace", "Can view queue position"),)
        ordering = ("created_at", "pk")
        constraints = (
            models.CheckConstraint(
                condition=Q(user__isnull=True) ^ Q(guest__isnull=True), name="queue_entry_of_user_or_guest"
            ),
        )

    def __str__(self) -> str:
        return f"{self.owner_name} · {self.persona}"


class BrainAccess(models.Model):
    """What a provider needs to call the brain in one session: a token of ours, in a custom model of its own.

    The row is stored before the provider is asked, so it says what the provider may have stored, and deleted once that
    is removed there. Without a session it is prepared for the next one.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(ProviderAccount, models.CASCADE, related_name="+")
    session = models.OneToOneField(StreamingSession, models.CASCADE, null=True, related_name="brain_access")
    # SHA-256 of the token, which only the provider has.
    token_hash = models.CharField(max_length=64)
    # The provider's ID; empty until it has answered, and once it is to be removed.
    custom_model_id = models.CharField(max_length=200, blank=True)
    # When the worker has the provider remove it: never before the end of its session.
    due_at = models.DateTimeField(null=True, db_index=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(session__isnull=False) | Q(due_at__isnull=False), name="unused_brain_access_is_due"
            ),
        )

    def __str__(self) -> str:
        return str(self.id)

    @property
    def name(self) -> str:
        """By which the provider lists it."""
        return f"heygen-portal-{self.id}"
