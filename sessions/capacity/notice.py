"""The notice that users read before they talk with a persona, in its language.

It says that they talk to an AI, who can read and watch the conversation, how long it is kept and which services
process it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from django.utils import translation
from django.utils.translation import gettext, ngettext

from avatars.models import Persona
from heygen_portal.models import Organisation
from heygen_portal.providers import KINDS
from heygen_portal.runtime.text import catalogues
from heygen_portal.trail import statements

# Increase when the portal's own texts say something else, so that users accept them again.
WORDING = 1


@dataclass(frozen=True)
class Paragraph:
    """One statement of the notice. `icon` is a symbol of static/portal/icons.svg."""

    icon: str
    title: str
    text: str


@dataclass(frozen=True)
class Link:
    title: str
    url: str


@dataclass(frozen=True)
class Notice:
    """A notice as it is shown, and what it depends on.

    `fingerprint` is that of its meaning, without the wording: another one needs a new acceptance.
    """

    language: str
    version: int
    fingerprint: str
    # Stays on the picture.
    label: str
    about_ai: Paragraph
    paragraphs: tuple[Paragraph, ...]
    links: tuple[Link, ...]
    # What users accept, where acceptance is required.
    statement: str

    @property
    def text(self) -> str:
        """The whole notice as plain text, as it is stored with an acceptance."""
        said = [f"{each.title}: {each.text}" for each in (self.about_ai, *self.paragraphs)]
        return "\n".join([*said, *(f"{link.title}: {link.url}" for link in self.links), self.statement])

    def as_json(self) -> dict[str, Any]:
        """Return the notice for programs and widgets."""
        return asdict(self)


def notice_for(persona: Persona) -> Notice:
    """Return the notice of a persona.

    A page language is used if the persona's is none. One query unless the organisation, account and model service were
    read with the persona.
    """
    language = _language_of(persona)
    with translation.override(language):
        return _notice(persona, language)


def _language_of(persona: Persona) -> str:
    return catalogues.nearest([persona.language])


def _notice(persona: Persona, language: str) -> Notice:
    organisation = persona.organisation
    privacy_url = organisation.privacy_notice_url
    return Notice(
        language=language,
        version=organisation.consent_version,
        fingerprint=_fingerprint(persona, language),
        label=gettext("AI avatar"),
        about_ai=Paragraph(
            "ai",
            gettext("You are talking to an AI, not a person"),
            gettext("The face and the voice of %(name)s are generated. Answers can be wrong: check what matters.")
            % {"name": persona.name},
        ),
        paragraphs=(
            Paragraph(
                "lock",
                gettext("Who can read it"),
                gettext("You, and authorised staff of %(organisation)s, who must give a reason that is recorded.")
                % {"organisation": organisation.name},
            ),
            Paragraph("history", gettext("How long it is kept"), _kept(persona.speech_kept_days)),
            Paragraph(
                "globe",
                gettext("Which service processes it"),
                _processed(persona),
            ),
            Paragraph("eye", gettext("Who can watch"), _watched(persona)),
            Paragraph("mic", gettext("Your microphone"), _microphone(persona)),
        ),
        links=tuple(
            Link(title, url)
            for title, url in (
                (gettext("Privacy notice"), privacy_url),
                (gettext("Terms of use"), organisation.terms_url),
                (gettext("Imprint"), organisation.imprint_url),
            )
            if url
        ),
        statement=_statement(organisation, language),
    )


def _fingerprint(persona: Persona, language: str) -> str:
    """Return the fingerprint of everything that a notice tells users."""
    organisation = persona.organisation
    model = model_service_label(persona)
    return statements.fingerprint(
        ({"model": model} if model else {})
        | {
            "wording": WORDING,
            "version": organisation.consent_version,
            "language": language,
            "organisation": organisation.name,
            "privacy": organisation.privacy_notice_url,
            "kept_days": persona.speech_kept_days,
            "provider": persona.avatar.account.kind,
            "is_observable": persona.avatar.account.has_own_rooms,
        }
    )


def provider_label(persona: Persona) -> str:
    kind = persona.avatar.account.kind
    return KINDS[kind].label if kind in KINDS else kind


def model_service_label(persona: Persona) -> str:
    """Return the service whose model answers, with its host; empty if the provider's model does."""
    service = persona.model_service if persona.has_own_brain else None
    return f"{service.name} ({urlsplit(service.base_url).hostname or '–'})" if service else ""


def _processed(persona: Persona) -> str:
    text = gettext("%(provider)s runs the avatar and processes what is written and said.")
    text %= {"provider": provider_label(persona)}
    if model := model_service_label(persona):
        words = gettext("A model of %(service)s writes the answers and gets what is written and said.")
        text = f"{text} {words % {'service': model}}"
    return text


def _kept(days: int | None) -> str:
    if days is None:
        text = gettext("The text is kept until you erase it.")
    else:
        text = ngettext(
            "The text is kept for %(days)s day, or until you erase it.",
            "The text is kept for %(days)s days, or until you erase it.",
            days,
        ) % {"days": days}
    return f"{text} {gettext('A legal obligation can extend this period. Video and sound are not recorded.')}"


def _watched(persona: Persona) -> str:
    if persona.avatar.account.has_own_rooms:
        return gettext("Authorised staff can watch and listen during the conversation. This page shows when they do.")
    return gettext(
        "Staff cannot watch or listen. They only see that a conversation is running and how good the connection is."
    )


def _microphone(persona: Persona) -> str:
    if persona.takes_voice:
        return gettext("Your microphone stays off until you turn it on. Your camera is never used.")
    return gettext("Your camera and microphone are not used.")


def _statement(organisation: Organisation, language: str) -> str:
    own = organisation.consent_texts.get(language)
    if isinstance(own, str) and own.strip():
        return own
    if organisation.privacy_notice_url:
        return gettext("I have read the privacy notice and agree that this conversation is kept in writing.")
    return gettext("I have read this notice and agree that this conversation is kept in writing.")
