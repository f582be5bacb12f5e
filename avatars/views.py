"""The gallery of personas, and the previews of their avatars."""

import mimetypes
from typing import Any

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from avatars.catalogue import voice_samples
from avatars.models import Avatar, Persona, ProviderAccount, Voice
from avatars.models.languages import own_name_of
from heygen_portal.branding.current import current
from heygen_portal.people.access import roles
from heygen_portal.permissions import Permission
from heygen_portal.runtime.text import limits

QUERY_MAX_CHARACTERS = 100


@require_safe
def gallery(request: HttpRequest) -> HttpResponse:
    """List the personas that the user may talk with, filtered by `q` and `lang`. The default one is first."""
    published = _published(request.user)
    query = limits.shortened(request.GET.get("q", "").strip(), QUERY_MAX_CHARACTERS)
    language = request.GET.get("lang", "")
    found = published
    if query:
        found = found.filter(Q(name__folded=query) | Q(role__folded=query) | Q(summary__folded=query))
    languages = sorted({persona.language for persona in published}, key=own_name_of)
    if language in languages:
        found = found.filter(language=language)
    default = current().default_persona_id
    context = {
        "personas": sorted(found, key=lambda persona: persona.pk != default),
        "default_persona_id": default,
        "may_talk": request.user.has_perm(roles.START_SESSION),
        "has_anybody": bool(published),
        "takes_voice": any(persona.takes_voice for persona in published),
        "query": query,
        "language": language,
        "languages": [(code, own_name_of(code)) for code in languages],
    }
    return render(request, "avatars/gallery.html", context)


@require_safe
def help_page(request: HttpRequest) -> HttpResponse:
    """Show which personas take text or voice."""
    personas = _published(request.user)
    takes_voice = [persona.takes_voice for persona in personas]
    context = {
        "personas": personas,
        "takes_text": any(persona.takes_text for persona in personas),
        "takes_voice": any(takes_voice),
        "all_take_voice": all(takes_voice),
        "makes_videos": any(account.capabilities.makes_videos for account in ProviderAccount.objects.all()),
    }
    return render(request, "avatars/help.html", context)


def _published(user: Any) -> QuerySet[Persona]:
    """Return the published personas that a user may talk with."""
    published = Persona.objects.open_to(user.pk).select_related("avatar__account")
    return published if user.has_perm(roles.START_SESSION) else published.none()


@require_safe
@cache_control(private=True, max_age=86400)
def sample(request: HttpRequest, voice_id: int) -> HttpResponse:
    """Send a voice sample, which is fetched on first use and cached for a day."""
    if not request.user.has_perm(Permission.VIEW_VOICE):
        raise Http404
    voice = get_object_or_404(Voice.objects.select_related("account"), pk=voice_id)
    found = voice_samples.find(voice) if voice.sample_url else None
    if found is None:
        raise Http404
    return HttpResponse(found.content, content_type=found.content_type)


@require_safe
@cache_control(private=True, max_age=3600)
def preview(request: HttpRequest, avatar_id: int) -> HttpResponse:
    """Send an avatar's preview image."""
    avatar = get_object_or_404(Avatar, pk=avatar_id)
    if not avatar.preview:
        raise Http404
    kind = mimetypes.guess_type(str(avatar.preview.name))[0] or "application/octet-stream"
    with avatar.preview.open("rb") as picture:  # small, because `previews` resized it
        return HttpResponse(picture.read(), content_type=kind)
