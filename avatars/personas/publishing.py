"""Validate, publish and unpublish personas."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from avatars.catalogue import voices
from avatars.catalogue.sync import refresh_catalogue
from avatars.models import Avatar, CatalogueEntry, HttpTool, Persona, PersonaContent, PersonaVersion
from avatars.personas import versions
from heygen_portal.models import EventType
from heygen_portal.providers.contract.provider import Capabilities, CredentialRefused, ProviderError
from heygen_portal.trail import change_log
from heygen_portal.trail.change_log import SERVER, Actor
from heygen_portal.trail.models import AuditEntry
from heygen_portal.webhooks import outbox
from heygen_portal.webhooks.outbox import Notice

Problems = dict[str, list[str]]
IPHONE_ENCODING = "H264"
# The fields whose changes the audit log records when a persona is published.
AUDITED_FIELDS = ("version", *PersonaContent.content_fields())


def publish(
    persona: Persona, version: PersonaVersion | None = None, *, actor: Actor = SERVER, despite_tests: str = ""
) -> None:
    """Publish a persona's newest version or, to roll back, another one.

    Idempotent. Each change is audited. Raises ValidationError with the problems of each field. `despite_tests` is the
    reason for which a version is published whose tests have not passed.
    """
    with transaction.atomic():
        stored = Persona.objects.select_for_update().get(pk=persona.pk)
        version = version or versions.newest(stored) or versions.save_version(stored)
        shown = versions.as_of(stored, version)
        found = problems(shown) | account_problems(shown)
        untested = test_problem(stored, version)
        if untested and not despite_tests:
            found["tests"] = [untested]
        if found:
            raise ValidationError(dict(found))
        was_public = stored.status == Persona.Status.PUBLISHED
        is_same = was_public and stored.current_id == version.pk
        published_at = stored.published_at if is_same else timezone.now()
        is_public = {"status": Persona.Status.PUBLISHED, "published_at": published_at, "hidden_at": None}
        stated = versions.set_current(persona, version, **is_public)
        is_older = was_public and version.number < stored.version
        kind = AuditEntry.Kind.ROLLED_BACK if is_older else AuditEntry.Kind.PUBLISHED
        changes = change_log.diff(stored if was_public else None, persona, AUDITED_FIELDS)
        if was_public and stored.hidden_at:
            changes["is_hidden"] = [True, False]
        if untested:
            changes["published_despite_tests"] = [None, despite_tests]
        change_log.record(actor, kind, persona, changes, stated)
        if not is_same:
            tell_webhooks(EventType.PERSONA_PUBLISHED, persona)


def refresh_and_publish(
    persona: Persona, version: PersonaVersion | None = None, *, actor: Actor, despite_tests: str = ""
) -> ProviderError | None:
    """Publish with the provider's catalogue as it is now: a part of the persona may be gone since the last sync.

    Returns why the provider could not be asked; then the persona is published with the data known so far. Raises
    CredentialRefused, and what `publish` raises.
    """
    unreachable: ProviderError | None = None
    try:
        async_to_sync(refresh_catalogue)((version or persona).avatar.account)
    except CredentialRefused:
        raise
    except ProviderError as exc:
        unreachable = exc
    publish(persona, version, actor=actor, despite_tests=despite_tests)
    return unreachable


def unpublish(persona: Persona, *, actor: Actor = SERVER) -> None:
    """Remove the persona from the gallery.

    Running sessions continue, and the newest version becomes the draft.
    """
    with transaction.atomic():
        stored = Persona.objects.select_for_update().get(pk=persona.pk)
        version = versions.newest(stored) or versions.save_version(stored)
        stated = versions.set_current(persona, version, status=Persona.Status.DRAFT)
        was_public = stored.status == Persona.Status.PUBLISHED
        changes = {"version": [stored.version, None]} if was_public else {}
        change_log.record(actor, AuditEntry.Kind.UNPUBLISHED, persona, changes, stated)
        if was_public:
            tell_webhooks(EventType.PERSONA_UNPUBLISHED, persona, version=stored.version)


def tell_webhooks(event: EventType, persona: Persona, **data: Any) -> None:
    """Tell webhooks of a persona. Call it in the transaction of the change."""
    about = {"persona": persona.slug, "name": persona.name, "version": persona.version, **data}
    outbox.write(event, lambda: Notice(event, about))


def problems(persona: Persona) -> Problems:
    """Return what prevents a persona from being published, by field."""
    found: Problems = defaultdict(list)
    capabilities = persona.avatar.account.capabilities
    _check_avatar(persona, found)
    _check_voice(persona, capabilities, found)
    if persona.has_own_brain:
        _check_brain(persona, found)
    else:
        _check_knowledge(persona, found)
    if persona.language not in persona.avatar.account.persona_languages:
        found["language"].append(_("The provider does not support this language. Choose another one."))
    if persona.quality and persona.quality not in capabilities.qualities:
        found["quality"].append(_("The provider does not offer this quality."))
    if persona.idle_timeout > capabilities.max_idle_timeout:
        longest = {"minutes": int(capabilities.max_idle_timeout.total_seconds() // 60)}
        words = _("The provider closes idle sessions sooner. Choose at most %(minutes)d minutes.")
        found["idle_timeout"].append(words % longest)
    _check_duration(persona, found)
    _check_listening(persona, capabilities, found)
    if len(persona.greeting) > capabilities.max_text_characters:
        found["greeting"].append(_("The greeting is longer than the provider allows."))
    return found


def test_problem(persona: Persona, version: PersonaVersion) -> str:
    """Return why a persona's tests prevent a version from being published, or "".

    Rolling back is always possible: the older version was published before.
    """
    if not version.has_own_brain or (persona.status == Persona.Status.PUBLISHED and version.number <= persona.version):
        return ""
    saved_at = persona.tests.aggregate(last=Max("saved_at"))["last"]
    run = version.test_runs.first()
    if saved_at and (run is None or run.asked_at < saved_at):
        return _("The tests have not been run with this version. Run them on the page “Tests”.")
    if run is None:
        return ""
    if run.is_under_way:
        return _("The tests are still running.")
    if run.state != run.State.PASSED:
        return _("The tests have not passed with this version. See the page “Tests”.")
    if saved_at and run.is_outdated:
        return _("The documents or the model have changed since the tests passed. Run them on the page “Tests”.")
    return ""


def account_problems(persona: Persona) -> Problems:
    """Return problems of the persona's account.

    They do not prevent changes to a published persona.
    """
    account = persona.avatar.account
    left = account.credits_left
    if account.is_sandbox or left is None or left > account.capabilities.minimum_credits:
        return {}
    words = _("%(account)s has no credits left. Buy credits at the provider or use another account.")
    return {"avatar": [words % {"account": account}]}


def _check_duration(persona: Persona, found: Problems) -> None:
    account = persona.avatar.account
    limit = account.capabilities.sandbox_limit if account.is_sandbox else None
    if limit and persona.duration_limit > limit:
        words = _(
            "Sandbox sessions of %(account)s last %(seconds)d seconds. Shorten the limit or turn the sandbox off."
        )
        found["duration_limit"].append(words % {"account": account, "seconds": int(limit.total_seconds())})


def _check_listening(persona: Persona, capabilities: Capabilities, found: Problems) -> None:
    if persona.interactivity == Persona.Interactivity.PUSH_TO_TALK and not capabilities.push_to_talk:
        found["interactivity"].append(_("The provider does not support push to talk. Choose “always on”."))
    if persona.breaks_silence and not capabilities.breaks_silence:
        found["breaks_silence"].append(_("The provider does not support speaking during silences. Turn it off."))
    opening = persona.knowledge_base.opening if persona.knowledge_base else ""
    if capabilities.speaks_opening and opening and persona.greeting:
        words = _("The provider says the knowledge base’s greeting automatically. Leave this greeting empty.")
        found["greeting"].append(words)


def _check_avatar(persona: Persona, found: Problems) -> None:
    if persona.avatar.gone_at:
        found["avatar"].append(_("The provider no longer offers this avatar. Choose another one."))
    elif not persona.avatar.is_active:
        found["avatar"].append(_("The avatar is not active at the provider. Activate it there or choose another one."))
    account = persona.avatar.account
    if IPHONE_ENCODING not in account.capabilities.encodings:
        words = _(
            "This avatar’s video is only available as %(encodings)s, which recent iPhones cannot play. "
            "Choose another avatar."
        )
        found["avatar"].append(words % {"encodings": ", ".join(account.capabilities.encodings)})
    only = account.capabilities.sandbox_avatar if account.is_sandbox else ""
    if only and persona.avatar.provider_avatar_id != only:
        its_own = Avatar.objects.filter(account=account, provider_avatar_id=only).first()
        words = _("The sandbox of %(account)s has only one avatar. Choose %(avatar)s or turn the sandbox off.")
        found["avatar"].append(words % {"account": account, "avatar": its_own or only})


def _check_voice(persona: Persona, capabilities: Capabilities, found: Problems) -> None:
    if persona.voice:
        _check_offered(persona, persona.voice, "voice", found)
    if not persona.voice and not persona.avatar.default_provider_voice_id:
        found["voice"].append(_("This avatar has no voice of its own. Choose one."))
    voice = persona.voice or voices.default_voice(persona.avatar)
    if voice and not voice.is_live:
        words = _("The provider offers the voice %(voice)s for recorded videos only. Choose another one.")
        found["voice"].append(words % {"voice": voice.name})
    if voice and voice.language and voice.language != persona.language:
        found["voice"].append(
            _("The voice speaks another language: %(language)s. Choose a matching voice.")
            % {"language": voice.language_label}
        )
    slowest, fastest = capabilities.voice_rate
    if not slowest <= float(persona.voice_rate) <= fastest:
        limits = {"slowest": slowest, "fastest": fastest}
        found["voice_rate"].append(_("The rate must be between %(slowest)s and %(fastest)s.") % limits)
    if persona.voice_emotion and persona.voice_emotion not in capabilities.emotions:
        found["voice_emotion"].append(_("The provider does not support this emotion. Choose another one or none."))
    elif persona.voice_emotion and voice and not voice.has_emotions:
        found["voice_emotion"].append(_("This voice does not support emotions."))
    dials = {dial.name: dial for dial in capabilities.voice_settings}
    for name, value in persona.voice_settings.items():
        if name not in dials:
            found["voice_settings"].append(
                _("The provider’s voices do not have the setting %(name)s. Leave it empty.") % {"name": name}
            )
        elif not dials[name].least <= value <= dials[name].most:
            words = _("%(name)s must be between %(least)s and %(most)s.")
            limits = {"name": name, "least": dials[name].least, "most": dials[name].most}
            found["voice_settings"].append(words % limits)


def _check_knowledge(persona: Persona, found: Problems) -> None:
    if persona.knowledge_base:
        _check_offered(persona, persona.knowledge_base, "knowledge_base", found)
    elif not persona.is_improvising:
        found["knowledge_base"].append(_("Choose a knowledge base or allow answers without one."))


def _check_brain(persona: Persona, found: Problems) -> None:
    if not persona.model_service:
        found["model_service"].append(_("Choose a model service."))
    elif not persona.model_service.chat_model:
        found["model_service"].append(_("This service has no model for answers. Name it on the service’s page."))
    if not persona.instructions.strip():
        found["instructions"].append(_("Write instructions for the model."))
    names = persona.own_tool_names
    there = HttpTool.objects.filter(name__in=names, is_active=True).values_list("name", flat=True) if names else ()
    if missing := names.difference(there):
        words = _("These tools are switched off or missing: %(names)s.")
        found["tools"].append(words % {"names": ", ".join(sorted(missing))})
    if persona.knowledge_base:
        _check_offered(persona, persona.knowledge_base, "knowledge_base", found)
    if not persona.takes_text:
        found["brain"].append(_("The provider takes no texts, so the organisation’s own model cannot answer here."))


def _check_offered(persona: Persona, offered: CatalogueEntry, field: str, found: Problems) -> None:
    if offered.account_id != persona.avatar.account_id:
        words = _("It does not belong to the avatar’s account. Choose one of %(account)s.")
        found[field].append(words % {"account": persona.avatar.account})
    if offered.gone_at:
        found[field].append(
            _("The provider no longer offers it. Choose another one, or create it there again and sync.")
        )
