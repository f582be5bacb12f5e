"""Knowledge bases are the provider's: it is asked first, and ours follow."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from avatars import publishing
from avatars.models import KnowledgeBase, Persona, ProviderAccount
from heygen_portal import providers
from heygen_portal.providers.base import KnowledgeBaseOffer, ProviderError, ProviderRejected, ProviderUnreachable


def store(base: KnowledgeBase) -> None:
    """Store a new or changed knowledge base at the provider. Raises ValidationError; saves nothing here.

    Whoever is published with it must still be fit to be met.
    """
    for persona in _users(base) if base.pk else ():
        persona.knowledge_base = base
        if found := publishing.problems(persona):
            raise ValidationError([f"{persona}: {words}" for told in found.values() for words in told])
    try:
        async_to_sync(_store)(base.account, base)
    except ProviderError as exc:
        raise _refusal(base, exc) from exc
    base.last_seen_at = timezone.now()


def remove(base: KnowledgeBase) -> None:
    """Delete it at the provider, and mark it gone here. Raises ValidationError while a published persona uses it."""
    if users := list(_users(base)):
        words = _("It is in use: give %(personas)s another one first, or take them out of the gallery.")
        raise ValidationError(words % {"personas": ", ".join(map(str, users))})
    try:
        async_to_sync(_delete)(base.account, base)
    except ProviderError as exc:
        raise _refusal(base, exc) from exc
    base.gone_at = timezone.now()
    base.save(update_fields=["gone_at"])


def _users(base: KnowledgeBase) -> QuerySet[Persona]:
    """Who is published with it, hidden or not."""
    return Persona.objects.filter(status=Persona.Status.PUBLISHED, knowledge_base=base.pk)


def _refusal(base: KnowledgeBase, exc: ProviderError) -> ValidationError:
    if isinstance(exc, ProviderUnreachable):
        words = _("%(account)s did not answer (%(detail)s). Try again; nothing was changed here.")
    else:
        words = _("%(account)s refused it (%(detail)s). Nothing was changed.")
    return ValidationError(words % {"account": base.account, "detail": exc})


async def _store(account: ProviderAccount, base: KnowledgeBase) -> None:
    async with providers.opened(account) as provider:
        if base.pk:
            known = base.provider_knowledge_base_id
            await provider.change_knowledge_base(KnowledgeBaseOffer(known, base.name, base.opening, base.prompt))
        else:
            base.provider_knowledge_base_id = await provider.create_knowledge_base(
                name=base.name, opening=base.opening, prompt=base.prompt
            )


async def _delete(account: ProviderAccount, base: KnowledgeBase) -> None:
    async with providers.opened(account) as provider:
        try:
            await provider.delete_knowledge_base(base.provider_knowledge_base_id)
        except ProviderRejected:  # providers disagree on how they say that it is gone already
            listed = await provider.list_knowledge_bases()
            if base.provider_knowledge_base_id in {offer.provider_knowledge_base_id for offer in listed}:
                raise
