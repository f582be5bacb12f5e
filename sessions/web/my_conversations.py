"""A user's own conversations: search, read, download and erase."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from datetime import date, tzinfo
from uuid import UUID

from django.conf import settings
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone, translation
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from avatars.models import Persona
from heygen_portal.branding.current import current
from heygen_portal.people.access import roles, sudo
from heygen_portal.people.preferences import time_zones
from heygen_portal.runtime import budgets, client_address, stored_json
from heygen_portal.runtime.in_thread import iterate_in_thread
from heygen_portal.runtime.text import bidi, limits
from sessions.actions import queries
from sessions.brain import record
from sessions.capacity import slots
from sessions.exports import formats
from sessions.lifecycle import line_standing
from sessions.models import LegalHold, StreamingSession, Utterance
from sessions.retention import erasure

QUERY_MAX_CHARACTERS = 100
# Conversations on one page of the list.
CONVERSATIONS_PER_PAGE = 20
# Lines on one page of a conversation. Each may have 10,000 characters.
LINES_PER_PAGE = 25
# Conversation pages that one process renders at the same time. A template needs many times its page's memory.
PAGES_RENDERED_IN_PARALLEL = 2
_render_slots = threading.BoundedSemaphore(PAGES_RENDERED_IN_PARALLEL)


@require_safe
@never_cache
def conversations(request: HttpRequest) -> HttpResponse:
    """List the user's conversations, filtered by `q`, `persona`, `from` and `to`."""
    user_id = _user_id(request)
    parameters = request.GET
    query, persona = (
        limits.shortened(parameters.get("q", "").strip(), QUERY_MAX_CHARACTERS),
        parameters.get("persona", ""),
    )
    if query:
        budgets.spend_sync("search", person=user_id, address=client_address.of(request))
    since, until = _parse_day(parameters.get("from", "")), _parse_day(parameters.get("to", ""))
    found = queries.sessions_of_user(user_id, query=query, persona=persona, since=since, until=until)
    page = Paginator(found, CONVERSATIONS_PER_PAGE).get_page(parameters.get("page"))
    page.object_list = queries.with_quoted_line(page.object_list)
    other_parameters = parameters.copy()
    other_parameters.pop("page", None)
    context = {
        "page": page,
        "query": query,
        "persona": persona,
        "since": since,
        "until": until,
        "is_filtered": bool(query or persona or since or until),
        "personas": queries.personas_of_user(user_id),
        "filter_query": other_parameters.urlencode(),
    }
    return render(request, "sessions/conversations.html", context)


@require_safe
@never_cache
def conversation(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Show one conversation."""
    session = _own_session(request, session_id)
    budgets.spend_sync("conversation", person=request.user.pk, address=client_address.of(request))
    with _render_slots:
        return _conversation(request, session)


def _conversation(request: HttpRequest, session: StreamingSession) -> HttpResponse:
    page = Paginator(queries.lines_to_read(session.pk), LINES_PER_PAGE).get_page(request.GET.get("page"))
    lines = record.with_sources(queries.with_standing(page.object_list))
    later = queries.sessions_of_user(_user_id(request)).filter(continues=session)
    from_user = Utterance.objects.filter(session=session, who=Utterance.Who.USER).order_by()
    context = {
        "session": session,
        "page": page,
        "lines": lines,
        "has_reported": any(line.standing == line_standing.Standing.BROWSER for line in lines),
        "is_over": session.ended_at is not None,
        "may_continue": bool(lines) and slots.may_continue(session),
        "can_talk": session.persona.status == Persona.Status.PUBLISHED and request.user.has_perm(roles.START_SESSION),
        "continued_by": later.order_by("created_at").first(),
        "input_kinds": set(from_user.values_list("by", flat=True).distinct()),
    }
    answer = render(request, "sessions/conversation.html", context)
    # A template's context refers to itself and would keep these until the next garbage collection.
    lines.clear()
    page.object_list = ()
    return answer


@require_safe
@never_cache
def source(request: HttpRequest, session_id: UUID, answer_id: int, number: int) -> HttpResponse:
    """Show the passage of a document that an answer of one's own conversation cites."""
    session = _own_session(request, session_id)
    budgets.spend_sync("conversation", person=request.user.pk, address=client_address.of(request))
    chunk = record.cited_chunk(session.pk, answer_id, number)
    if chunk is None:
        raise Http404
    return render(request, "sessions/source.html", {"session": session, "chunk": chunk, "number": number})


@require_safe
@never_cache
def transcript(request: HttpRequest, session_id: UUID) -> HttpResponseBase:
    """Send the whole transcript as plain text, in bounded memory."""
    session = _own_session(request, session_id)
    budgets.spend_sync("transcript", person=request.user.pk, address=client_address.of(request))
    names: dict[str, str] = {Utterance.Who.AVATAR: session.persona.name, Utterance.Who.USER: _("You")}
    language, zone = translation.get_language() or settings.LANGUAGE_CODE, timezone.get_current_timezone()
    pieces = _transcript_parts(session.pk, names, language, zone)
    times = _("Times are in %(zone)s.") % {"zone": time_zones.label(zone)}
    title = current().titled(times)
    body = [f"{title}\n\n".encode(), next(pieces, b"")]
    response: HttpResponseBase
    if queries.lines_to_read(session.pk)[queries.LINES_PER_BATCH : queries.LINES_PER_BATCH + 1].exists():
        pieces = itertools.chain(body, pieces)
        response = StreamingHttpResponse(iterate_in_thread(pieces), content_type="text/plain; charset=utf-8")
    else:
        response = HttpResponse(body, content_type="text/plain; charset=utf-8")
    name = f"{session.persona.slug}-{timezone.localtime(session.created_at):%Y-%m-%dT%H%M%z}.txt"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def erase(request: HttpRequest) -> HttpResponse:
    """Erase everything the user has said, after confirmation, and show receipts."""
    user_id = _user_id(request)
    if request.method == "POST" and not sudo.is_confirmed(request):
        return sudo.ask(request)
    receipts = erasure.erase_own(user_id, client_address.of(request)) if request.method == "POST" else []
    held = LegalHold.objects.active().filter(session__user_id=user_id)
    context = {
        "held": held.count(),
        "count": erasure.erasable().filter(user_id=user_id).count(),
        "running": StreamingSession.objects.open().filter(user_id=user_id).exists(),
        "is_done": request.method == "POST",
        "receipts": receipts,
    }
    return render(request, "sessions/erase.html", context)


def _transcript_parts(session_id: UUID, names: dict[str, str], language: str, zone: tzinfo) -> Iterator[bytes]:
    for lines in queries.transcript_batches(session_id):
        with translation.override(language), timezone.override(zone):
            piece = "".join(_line(line, names) for line in lines).encode("utf-8", "replace")
        lines.clear()  # keep only the bytes while the client reads
        yield piece


def _line(line: Utterance, names: dict[str, str]) -> str:
    suffix = "".join(f" [{note}]" for note in line_standing.notes(line))
    name, words = (
        formats.on_one_line(names.get(line.who) or stored_json.label(line.who)),
        formats.on_one_line(line.shown),
    )
    said = f"{bidi.isolated(name)}: {bidi.isolated(words)}"
    return f"[{timezone.localtime(line.at):%H:%M:%S}] {said}{suffix}\n"


def _user_id(request: HttpRequest) -> int:
    """Return the user's ID.

    People can read and erase what they said even after losing the role to talk.
    """
    assert request.user.pk is not None  # the middleware requires a login
    return request.user.pk


def _own_session(request: HttpRequest, session_id: UUID) -> StreamingSession:
    rows = queries.sessions_of_user(_user_id(request))
    session = rows.filter(pk=session_id).first()
    if session is None:
        raise Http404  # also for another user's conversation
    return session


def _parse_day(text: str) -> date | None:
    try:
        return parse_date(text)
    except ValueError:  # well formed but not a date, such as 2026-02-30
        return None
