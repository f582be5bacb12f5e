"""Move personas from one account to another.

This is needed when a service is retired and has a successor. `plan` changes nothing: it matches catalogue entries and
lists copies and, for each persona, changes and obstacles. `apply` carries the plan out. The old catalogue and all
history stay, and a persona that cannot be moved is not changed. Idempotent.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from avatars.models import Avatar, CatalogueEntry, KnowledgeBase, Persona, ProviderAccount, Voice
from avatars.models.stated import KNOWLEDGE_BASE
from avatars.personas import publishing, versions
from heygen_portal import providers
from heygen_portal.runtime.accents import fold_accents
from heygen_portal.runtime.generics import name_of_field
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.trail import audit_log, statements
from heygen_portal.trail.change_log import SERVER, Actor
from heygen_portal.trail.models import AuditEntry

Row = TypeVar("Row", bound=CatalogueEntry)
# Matches chosen by staff: (kind, primary key of the old row) → primary key of the new row.
Choices = Mapping[tuple[str, int], int]


@dataclass(frozen=True)
class Match:
    """One entry of the old account and its match in the new one, if any."""

    kind: str
    old: Any
    new: Any
    is_to_be_copied: bool = False


@dataclass(frozen=True)
class Move:
    """The changes of one persona. With `obstacles`, it is not moved."""

    persona: Persona
    changes: dict[str, Any]
    obstacles: list[str]

    @property
    def described(self) -> list[str]:
        """Return each change as text: field, old value and new value."""
        return [
            f"{name_of_field(Persona, name)}: {getattr(self.persona, name) or '–'} → {value or '–'}"
            for name, value in self.changes.items()
        ]


@dataclass
class Plan:
    source: ProviderAccount
    target: ProviderAccount
    matches: list[Match] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)

    def match_for(self, kind: str, old: CatalogueEntry | None) -> Match | None:
        return next((match for match in self.matches if old and match.kind == kind and match.old == old), None)


def plan(source: ProviderAccount, target: ProviderAccount, choices: Choices | None = None) -> Plan:
    """Return what would be moved, and how. Changes nothing."""
    personas = list(Persona.objects.filter(avatar__account=source).select_related("avatar", "voice", "knowledge_base"))
    found = Plan(source, target)
    found.matches = [
        *_matches("avatar", {persona.avatar for persona in personas}, target, _avatar_similarity, choices),
        *_matches(
            "voice", {persona.voice for persona in personas if persona.voice}, target, _voice_similarity, choices
        ),
        *_matches(
            "base", KnowledgeBase.objects.filter(account=source, gone_at=None), target, _base_similarity, choices
        ),
    ]
    found.moves = [_move(persona, found) for persona in personas]
    return found


async def apply(planned: Plan, actor: Actor = SERVER) -> list[str]:
    """Copy the knowledge bases, then move the personas.

    Return a line of text for each result.

    Raises ProviderError if a knowledge base cannot be stored. No persona has been moved then, and the next attempt
    reuses the copies that were made.
    """
    chosen = {(match.kind, match.old.pk): match.new.pk for match in planned.matches if match.new}
    done = []
    async with providers.opened(planned.target) as provider:
        for match in planned.matches:
            if match.is_to_be_copied:
                prompt = match.old.prompt
                made = await provider.create_knowledge_base(name=match.old.name, opening="", prompt=prompt)
                base = await in_thread(_store_copy)(planned.target, match.old, made)
                chosen["base", match.old.pk] = base.pk
                done.append(_("Knowledge base copied: %(name)s") % {"name": match.old.name})
    return done + await in_thread(_move_all)(planned, chosen, actor)


def _matches(
    kind: str,
    old: Iterable[Row],
    target: ProviderAccount,
    similarity: Callable[[Row, Row], int],
    choices: Choices | None,
) -> list[Match]:
    rows = sorted(old, key=lambda row: row.name)
    if not rows:
        return []
    candidates = list(usable(type(rows[0]), target))
    found = []
    for row in rows:
        chosen_pk = (choices or {}).get((kind, row.pk))
        new = next((other for other in candidates if other.pk == chosen_pk), None)
        new = new or max(
            (other for other in candidates if similarity(row, other)), key=lambda o: similarity(row, o), default=None
        )
        can_copy = isinstance(row, KnowledgeBase) and bool(row.prompt)
        found.append(Match(kind, row, new, is_to_be_copied=new is None and can_copy))
    return found


def usable(model: type[Row], account: ProviderAccount) -> QuerySet[Row]:
    """Return the entries of an account that can be selected."""
    rows = model._default_manager.filter(account=account, gone_at=None)
    return rows.filter(is_active=True) if model is Avatar else rows


def _avatar_similarity(old: Avatar, new: Avatar) -> int:
    """Rate by equal names, then by equal previews.

    The file name of a preview contains a hash of its content.
    """
    content = str(old.preview.name or "").rpartition("-")[2]
    return 2 * (_normalized(old.name) == _normalized(new.name)) + (
        bool(content) and str(new.preview.name or "").endswith(f"-{content}")
    )


def _voice_similarity(old: Voice, new: Voice) -> int:
    """Rate by equal names, then by gender. Voices of different languages never match."""
    if old.language != new.language:
        return 0
    return 2 * (_normalized(old.name) == _normalized(new.name)) + (old.gender == new.gender)


def _base_similarity(old: KnowledgeBase, new: KnowledgeBase) -> int:
    return int(_normalized(old.name) == _normalized(new.name) and old.prompt.strip() == new.prompt.strip())


def _normalized(name: str) -> str:
    return "".join(re.findall(r"[^\W_]+", fold_accents(name)))


def _move(persona: Persona, found: Plan) -> Move:
    changes: dict[str, Any] = {}
    obstacles = []
    for name, kind in (("avatar", "avatar"), ("voice", "voice"), ("knowledge_base", "base")):
        old = getattr(persona, name)
        match = found.match_for(kind, old)
        if match and match.new:
            changes[name] = match.new
        elif match and match.is_to_be_copied:
            changes[name] = match.old  # replaced by its copy later
        elif old:
            obstacles.append(_("No match for %(name)s: choose one.") % {"name": old})
    if not obstacles:
        changes |= _adjustments(persona, changes, found.target)
        obstacles = _obstacles(persona, changes, found)
    return Move(persona, changes, obstacles)


def _adjustments(persona: Persona, changes: Mapping[str, Any], target: ProviderAccount) -> dict[str, Any]:
    """Return settings that must change because the target does not support them."""
    capabilities = target.capabilities
    slowest, fastest = (Decimal(str(rate)) for rate in capabilities.voice_rate)
    base = changes.get("knowledge_base")
    opens = capabilities.speaks_opening and base is not None and base.account_id == target.pk and base.opening
    limit = capabilities.sandbox_limit if target.is_sandbox else None
    planned = {
        "voice_rate": min(max(persona.voice_rate, slowest), fastest),
        "voice_emotion": persona.voice_emotion if persona.voice_emotion in capabilities.emotions else "",
        "idle_timeout": min(persona.idle_timeout, capabilities.max_idle_timeout),
        "duration_limit": min(persona.duration_limit, limit or persona.duration_limit),
        "breaks_silence": persona.breaks_silence and capabilities.breaks_silence,
        "greeting": "" if opens else persona.greeting,
    }
    return {name: value for name, value in planned.items() if value != getattr(persona, name)}


def _obstacles(persona: Persona, changes: Mapping[str, Any], found: Plan) -> list[str]:
    """Return what would prevent publishing the moved persona.

    Drafts may be incomplete.
    """
    if persona.status == Persona.Status.DRAFT:
        return []
    moved = copy.copy(persona)
    for name, value in changes.items():
        setattr(moved, name, value)
    if isinstance(moved.knowledge_base, KnowledgeBase) and moved.knowledge_base.account_id == found.source.pk:
        moved.knowledge_base = copy.copy(moved.knowledge_base)
        moved.knowledge_base.account, moved.knowledge_base.opening = found.target, ""
    problems = publishing.problems(moved) | publishing.account_problems(moved)
    return list(chain.from_iterable(problems.values()))


def _store_copy(target: ProviderAccount, old: KnowledgeBase, made: str) -> KnowledgeBase:
    with transaction.atomic():
        base = KnowledgeBase.objects.create(
            account=target,
            name=old.name,
            prompt=old.prompt,
            provider_knowledge_base_id=made,
            last_seen_at=timezone.now(),
        )
        stated = statements.state(KNOWLEDGE_BASE, base)
        audit_log.record_by(None, None, AuditEntry.Kind.KNOWLEDGE_SAVED, base, **stated)
    return base


def _move_all(planned: Plan, chosen: Choices, actor: Actor) -> list[str]:
    results = []
    for move in plan(planned.source, planned.target, chosen).moves:
        persona, changes = move.persona, "; ".join(move.described)
        try:
            if move.obstacles:
                raise ValidationError(move.obstacles)
            with transaction.atomic():
                for name, value in move.changes.items():
                    setattr(persona, name, value)
                version = versions.save_version(persona, actor.user_id)
                if persona.status == Persona.Status.PUBLISHED:
                    # Its answers stay the same, and the tests are of those.
                    moved = _("Moved to %(account)s") % {"account": planned.target}
                    publishing.publish(persona, version, actor=actor, despite_tests=moved)
                persona.version = version.number
        except ValidationError as exc:
            results.append(
                _("%(persona)s was not moved: %(why)s") % {"persona": persona, "why": " ".join(exc.messages)}
            )
        else:
            words = _("%(persona)s was moved, version %(version)d: %(changes)s")
            what = {"persona": persona, "version": persona.version, "changes": changes}
            results.append(words % what)
    return results
