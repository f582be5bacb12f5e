"""Create what a fresh portal needs before the first conversation."""

from __future__ import annotations

import copy
import secrets
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.db.models import Model

from avatars.catalogue.sync import sync_catalogue
from avatars.model_services import changes
from avatars.models import ModelService, Persona, ProviderAccount
from avatars.models.model_services import emulator_address
from avatars.models.stated import ACCOUNT
from avatars.personas import starters
from avatars.starters import libraries
from heygen_portal.people.access import roles
from heygen_portal.providers.contract.provider import ProviderError
from heygen_portal.trail import audit_log, change_log, statements
from heygen_portal.trail.change_log import SERVER
from heygen_portal.trail.models import AuditEntry

# One account for each API that the emulator offers.
ACCOUNTS = {"heygen": "Emulator", "liveavatar": "Emulator (LiveAvatar)"}
# Whose account the starters use: this provider calls our own model with what it hears, so users can also speak.
OF_STARTERS = "liveavatar"
MODEL_SERVICE = "Emulator"
MODELS = {
    "chat_model": "emulated-chat",
    "embeddings_model": "emulated-embedding",
    "moderation_model": "emulated-moderation",
}
PEOPLE = (("admin", roles.ADMINISTRATOR), ("demo", roles.END_USER))


class Command(BaseCommand):
    help = "Creates roles, two people, the emulator's accounts, catalogue and models, two personas. Safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reset-passwords", action="store_true", help="Give both people new passwords.")
        parser.add_argument("--no-personas", action="store_true", help="Publish no personas.")

    def handle(self, **options: Any) -> None:
        roles.sync()
        for username, role in PEOPLE:
            self._person(username, role, reset=options["reset_passwords"])
        if settings.EMULATOR_URL and settings.EMULATOR_API_KEY:
            accounts = {kind: _emulator_account(kind, name) for kind, name in ACCOUNTS.items()}
            for account in accounts.values():
                self._sync_catalogue(account)
            service = _emulator_models()
            if not (options["no_personas"] or Persona.objects.exists()):
                self._publish_starters(accounts[OF_STARTERS], service)

    def _person(self, username: str, role: roles.Role, *, reset: bool) -> None:
        with transaction.atomic():
            person, is_new = User.objects.get_or_create(
                username=username, defaults={"is_staff": role.is_staff, "is_superuser": role is roles.ADMINISTRATOR}
            )
            if is_new:
                person.groups.add(Group.objects.get(name=role.group))
                roles.enrol(person)
                audit_log.record_access_change(None, person, {})
        if is_new or reset:
            password = secrets.token_urlsafe(12)
            person.set_password(password)
            person.save(update_fields=["password"])
            audit_log.record(None, AuditEntry.Kind.PASSWORD_SET, person)
            self.stdout.write(f"Sign in as {username} with the password {password}")

    def _sync_catalogue(self, account: ProviderAccount) -> None:
        try:
            result = async_to_sync(sync_catalogue)(account)
        except ProviderError as exc:
            raise CommandError(
                f"The emulator at {account.base_url} did not give its catalogue ({exc}). "
                "Is it running, and does it know the key in EMULATOR_API_KEY?"
            ) from exc
        self.stdout.write(
            f"{account}: {result.avatars.listed} avatars, {result.voices.listed} voices, "
            f"{result.knowledge_bases.listed} knowledge bases"
        )

    def _publish_starters(self, account: ProviderAccount, service: ModelService) -> None:
        for starter in starters.STARTERS:
            library = libraries.create(starter["slug"])
            if persona := starters.publish_starter(account, starters.with_own_brain(starter, service, library)):
                self.stdout.write(f"Published: {persona.name} ({persona.get_language_display()})")


def _emulator_account(kind: str, name: str) -> ProviderAccount:
    """Return the emulator's account for one API, with the current address and key."""
    connection_settings = {"base_url": settings.EMULATOR_URL, "api_key": settings.EMULATOR_API_KEY}
    with transaction.atomic():
        account, is_new = ProviderAccount.objects.get_or_create(
            name=name, defaults={**connection_settings, "kind": kind, "is_exclusive": True, "concurrency_limit": 100}
        )
        before = None if is_new else copy.copy(account)
        has_new_key = is_new or account.api_key != settings.EMULATOR_API_KEY
        if not is_new and any(getattr(account, name) != value for name, value in connection_settings.items()):
            _change(account, connection_settings)
        changed = change_log.diff(before, account, change_log.editable_columns(ProviderAccount, exclude=["api_key"]))
        stated = statements.changed(ACCOUNT, before, account)
        change_log.record(SERVER, AuditEntry.Kind.ACCOUNT_CHANGED, account, changed, stated)
        if has_new_key:
            audit_log.record(None, AuditEntry.Kind.KEY_SET, account)
    return account


def _emulator_models() -> ModelService:
    """Store the emulator's models as a service, with the current address and key."""
    connection_settings = {"base_url": emulator_address(), "api_key": settings.EMULATOR_API_KEY}
    with transaction.atomic():
        service, is_new = ModelService.objects.get_or_create(
            name=MODEL_SERVICE, defaults={**connection_settings, **MODELS}
        )
        before = None if is_new else copy.copy(service)
        has_new_key = is_new or service.api_key != settings.EMULATOR_API_KEY
        if not is_new and any(getattr(service, name) != value for name, value in connection_settings.items()):
            _change(service, connection_settings)
        changes.record(SERVER, before, service, has_new_key=has_new_key)
    return service


def _change(row: Model, values: dict[str, str]) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=list(values))
