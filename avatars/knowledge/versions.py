"""Versions of knowledge bases, which are edited here and stored at the provider.

A text is stored at the provider first and becomes a version once accepted. If it is also changed at the provider, the
two have drifted apart, and staff decide which one to keep.
"""

from __future__ import annotations

import copy
import difflib
import unicodedata
from dataclasses import dataclass

from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from avatars.knowledge.files import KnowledgeText
from avatars.models import KnowledgeBase, KnowledgeVersion, Persona, ProviderAccount
from avatars.models.knowledge import TEXT_FIELDS
from avatars.models.stated import KNOWLEDGE_BASE, KNOWLEDGE_VERSION
from avatars.personas import publishing
from heygen_portal import providers
from heygen_portal.providers.contract.provider import (
    CatalogueKnowledgeBase,
    ProviderError,
    ProviderRejected,
    ProviderUnreachable,
)
from heygen_portal.runtime.generics import name_of_field
from heygen_portal.trail import audit_log, statements
from heygen_portal.trail.models import AuditEntry


@dataclass(frozen=True)
class TextDifference:
    """A line-by-line comparison of one text field."""

    name: str
    label: str
    # Marker (`+`: only in the second text, `-`: only in the first, or empty) and line.
    lines: list[tuple[str, str]]


def newest(base: KnowledgeBase) -> KnowledgeVersion | None:
    """Return the newest version, or None if the base was never edited here."""
    return base.versions.select_related("saved_by").first() if base.pk else None


def with_newest_texts(base: KnowledgeBase) -> KnowledgeBase:
    """Return a copy of the base with the newest version's texts.

    The copy is for editing and must not be saved.
    """
    version, shown = newest(base), copy.copy(base)
    for name in TEXT_FIELDS if version else ():
        setattr(shown, name, getattr(version, name))
    return shown


def annotate_drift(bases: QuerySet[KnowledgeBase]) -> QuerySet[KnowledgeBase]:
    """Annotate each base with `has_drifted`.

    It is true if the provider's texts differ from the newest version.
    """
    last = KnowledgeVersion.objects.filter(base=OuterRef("pk"), number=OuterRef("version"))
    same = {name: OuterRef(name) for name in TEXT_FIELDS}
    return bases.annotate(has_drifted=Exists(last.exclude(**same)))


def drift(base: KnowledgeBase) -> list[TextDifference]:
    """Return the differences between the newest version and the provider's texts."""
    version = newest(base)
    return differences(version, base) if version else []


def differences(
    before: KnowledgeBase | KnowledgeVersion, after: KnowledgeBase | KnowledgeVersion
) -> list[TextDifference]:
    """Return the text fields that differ."""
    pairs = [(name, getattr(before, name), getattr(after, name)) for name in TEXT_FIELDS]
    return [
        TextDifference(name, capfirst(name_of_field(KnowledgeBase, name)), _diff_lines(old_text, new_text))
        for name, old_text, new_text in pairs
        if old_text != new_text
    ]


def _diff_lines(before: str, after: str) -> list[tuple[str, str]]:
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [(line[0].strip(), line[2:]) for line in lines if not line.startswith("?")]


def store_at_provider(base: KnowledgeBase) -> None:
    """Store a new or changed knowledge base at the provider. Saves nothing here.

    Raises ValidationError if the provider refuses it or a published persona would become invalid.
    """
    base.opening, base.prompt = (text.replace("\r\n", "\n").strip() for text in (base.opening, base.prompt))
    for persona in _published_personas(base) if base.pk else ():
        persona.knowledge_base = base
        if found := publishing.problems(persona):
            raise ValidationError([f"{persona}: {words}" for texts in found.values() for words in texts])
    try:
        async_to_sync(_store)(base.account, base)
    except ProviderError as exc:
        raise _refusal(base, exc) from exc
    base.last_seen_at = timezone.now()


@transaction.atomic
def save_version(base: KnowledgeBase, saved_by: int | None) -> KnowledgeVersion:
    """Save the base's texts as its newest version.

    On the first save, the provider's earlier text becomes version 1.
    """
    audit_log.lock_head()  # before the row, as a sync does
    found = KnowledgeBase.objects.select_for_update().filter(pk=base.pk).first()
    before, made = copy.copy(found), []
    if found and not found.version and found.prompt:
        made.append(_create_version(found, found, None))
    base.version = found.version if found else 0
    base.save()
    made.append(_create_version(base, base, saved_by))
    _record_saved(before, base, made, saved_by)
    return made[-1]


def _record_saved(
    before: KnowledgeBase | None, base: KnowledgeBase, made: list[KnowledgeVersion], saved_by: int | None
) -> None:
    after = KnowledgeBase.objects.get(pk=base.pk)
    stated = statements.changed(KNOWLEDGE_BASE, before, after)
    stated = statements.merged(stated, *(statements.state(KNOWLEDGE_VERSION, version) for version in made))
    numbers = [before.version if before else None, after.version]
    audit_log.record_by(saved_by, None, AuditEntry.Kind.KNOWLEDGE_SAVED, after, version=numbers, **stated)


def push(base: KnowledgeBase, version: KnowledgeVersion, saved_by: int | None) -> KnowledgeVersion:
    """Store a version at the provider again, overwriting its texts.

    Raises ValidationError.
    """
    for name in TEXT_FIELDS:
        setattr(base, name, getattr(version, name))
    store_at_provider(base)
    if version.number == base.version:
        with transaction.atomic():
            audit_log.lock_head()
            before = KnowledgeBase.objects.select_for_update().get(pk=base.pk)
            base.save()
            _record_saved(before, base, [], saved_by)
        return version
    return save_version(base, saved_by)


def accept_provider_texts(base: KnowledgeBase, saved_by: int | None) -> KnowledgeVersion:
    """Save the provider's texts as the newest version."""
    return save_version(base, saved_by)


def import_texts(account: ProviderAccount, texts: KnowledgeText, saved_by: int | None) -> bool:
    """Store imported texts as a new base, or as a new version of the base so named.

    Return whether anything changed. Raises ValidationError.
    """
    # Names from file names on macOS have their accents as separate characters.
    spellings = {texts.name, *(unicodedata.normalize(form, texts.name) for form in ("NFC", "NFD"))}
    base = KnowledgeBase.objects.filter(account=account, name__in=spellings, gone_at=None).first()
    base = base or KnowledgeBase(account=account, name=texts.name)
    is_unchanged = (base.opening, base.prompt) == (texts.opening, texts.prompt)
    if base.pk and is_unchanged:
        return False
    base.opening, base.prompt = texts.opening, texts.prompt
    store_at_provider(base)
    save_version(base, saved_by)
    return True


def _create_version(base: KnowledgeBase, source: KnowledgeBase, saved_by: int | None) -> KnowledgeVersion:
    base.version += 1
    KnowledgeBase.objects.filter(pk=base.pk).update(version=base.version)
    texts = {name: getattr(source, name) for name in TEXT_FIELDS}
    return KnowledgeVersion.objects.create(base=base, number=base.version, saved_by_id=saved_by, **texts)


def delete_at_provider(base: KnowledgeBase) -> None:
    """Delete a base at the provider and mark it gone.

    Raises ValidationError if a published persona uses it.
    """
    if personas := list(_published_personas(base)):
        words = _("It is in use. Assign another knowledge base to %(personas)s or unpublish them first.")
        raise ValidationError(words % {"personas": ", ".join(map(str, personas))})
    try:
        async_to_sync(_delete)(base.account, base)
    except ProviderError as exc:
        raise _refusal(base, exc) from exc
    base.gone_at = timezone.now()
    base.save(update_fields=["gone_at"])


def _published_personas(base: KnowledgeBase) -> QuerySet[Persona]:
    """Return the published personas that use the base, including hidden ones."""
    return Persona.objects.filter(status=Persona.Status.PUBLISHED, knowledge_base=base.pk)


def _refusal(base: KnowledgeBase, exc: ProviderError) -> ValidationError:
    if isinstance(exc, ProviderUnreachable):
        words = _("%(account)s did not respond (%(detail)s). Nothing was changed here. Try again.")
    else:
        words = _("%(account)s refused the request (%(detail)s). Nothing was changed.")
    return ValidationError(words % {"account": base.account, "detail": exc})


async def _store(account: ProviderAccount, base: KnowledgeBase) -> None:
    async with providers.opened(account) as provider:
        if base.pk:
            changed = CatalogueKnowledgeBase(base.provider_knowledge_base_id, base.name, base.opening, base.prompt)
            await provider.change_knowledge_base(changed)
        else:
            base.provider_knowledge_base_id = await provider.create_knowledge_base(
                name=base.name, opening=base.opening, prompt=base.prompt
            )


async def _delete(account: ProviderAccount, base: KnowledgeBase) -> None:
    async with providers.opened(account) as provider:
        try:
            await provider.delete_knowledge_base(base.provider_knowledge_base_id)
        except ProviderRejected:  # providers report a missing base in different ways
            listed = await provider.list_knowledge_bases()
            if base.provider_knowledge_base_id in {offer.provider_knowledge_base_id for offer in listed}:
                raise
