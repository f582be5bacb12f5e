"""The live board: open sessions, the queue, and unknown sessions at providers.

`read_board` reads all of it in a fixed number of queries. `BoardConsumer` sends pages only what has changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from avatars.models import Persona, ProviderAccount
from heygen_portal.console.credits import rounded_credits
from heygen_portal.console.durations import measured_duration, rounded_duration
from heygen_portal.people.access import roles
from heygen_portal.permissions import Permission
from heygen_portal.runtime import stored_json
from sessions.capacity import queue, quotas
from sessions.costs import metrics
from sessions.lifecycle import end_evidence
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import QueueEntry, SessionEvent, Status, StreamingSession

# Kinds by which pages report the state of their video and network. `events.BOARD_EVENT_KINDS` contains them too.
PAGE_STATE_KINDS = (
    EventKind.LADDER,
    EventKind.CONNECTION_QUALITY,
    EventKind.ROOM_RECONNECTING,
    EventKind.ROOM_RECONNECTED,
    EventKind.FROZEN,
    EventKind.FIRST_FRAME,
)

WAITING_FOR_VIDEO = gettext_lazy("Waiting for video")
STATUS_LABELS: Mapping[str, tuple[str, Any]] = {
    Status.REQUESTED: ("accent", gettext_lazy("Requested")),
    Status.CREATING: ("accent", gettext_lazy("Asking the provider")),
    Status.CONNECTING: ("accent", WAITING_FOR_VIDEO),
    Status.LIVE: ("ok", gettext_lazy("Live")),
    Status.STOPPING: ("bad", gettext_lazy("Closing")),
}
# Steps of the page's recovery ladder that end without video. Every other step is an attempt to recover.
REDUCED_MODE_LABELS = {
    "sound": ("warn", gettext_lazy("Sound only")),
    "text": ("warn", gettext_lazy("Text only")),
}
RECOVERING = ("warn", gettext_lazy("Recovering"))
NETWORK_LABELS = {
    "good": gettext_lazy("Good"),
    "poor": gettext_lazy("Weak"),
    "lost": gettext_lazy("No video"),
    "absent": gettext_lazy("Absent"),
    "unknown": gettext_lazy("Unknown"),
}


@dataclass(frozen=True)
class SessionRow:
    """One open session. Times are in ISO 8601, and the page counts up from them."""

    id: str
    user: str
    persona: str
    version: str
    face: str
    tone: str
    stage: str
    why: str
    trouble: str
    note: str
    is_alert: bool
    is_stopping: bool
    quality: str
    created_at: str
    ends_at: str
    credits_per_minute: float | None
    network: str
    network_words: str
    page: str
    look: str


@dataclass(frozen=True)
class QueueRow:
    """One queue entry."""

    id: int
    place: int
    user: str
    persona: str
    since: str
    expected: str


@dataclass(frozen=True)
class Board:
    sessions: dict[str, SessionRow]
    queue: list[QueueRow]
    strangers: list[dict[str, str]]
    figures: dict[str, Any]

    def changes(self, shown: Board | None) -> dict[str, Any]:
        """Return what has changed since `shown`, which the page shows.

        Empty if nothing has.
        """
        before = shown.sessions if shown else {}
        rows = [asdict(row) for key, row in self.sessions.items() if before.get(key) != row]
        changed: dict[str, Any] = {"sessions": rows} if rows or not shown else {}
        if over := [key for key in before if key not in self.sessions]:
            changed["over"] = over
        if not shown or self.queue != shown.queue:
            changed["line"] = [asdict(person) for person in self.queue]
        for name in ("strangers", "figures"):
            if not shown or getattr(self, name) != getattr(shown, name):
                changed[name] = getattr(self, name)
        return changed


def find_viewer(user_id: int) -> User | None:
    """Return the user with their current permissions, if they may see the board."""
    user = User.objects.filter(pk=user_id, is_active=True, is_staff=True).first()
    return user if user and user.has_perm(Permission.VIEW_SESSION) else None


def read_board(user_id: int) -> Board | None:
    """Return the board as this user may see it, in the active language.

    None without permission.
    """
    user = find_viewer(user_id)
    if user is None:
        return None
    now = timezone.now()
    rows = StreamingSession.objects.open().select_related("user", "persona__avatar", "account")
    sessions = list(rows.order_by("created_at", "pk"))
    states = _page_states(sessions)
    shown = {str(session.pk): _row(session, states[session.pk], user) for session in sessions}
    queued = _queue(now) if user.has_perm(Permission.VIEW_QUEUE) else []
    accounts = list(ProviderAccount.objects.order_by("name"))
    strangers = [
        {"id": row.id, "status": row.status, "account": account.name, "since": row.seen_at}
        for account in accounts
        for row in account.sessions_of_others
    ]
    return Board(shown, queued, strangers, _figures(accounts, sessions, queued, user, now))


def _page_states(sessions: Iterable[StreamingSession]) -> Mapping[UUID, dict[str, Any]]:
    """Return the latest reported state of video and network of each session."""
    states: dict[UUID, dict[str, Any]] = defaultdict(dict)
    rows = SessionEvent.objects.filter(session__in=[session.pk for session in sessions], kind__in=PAGE_STATE_KINDS)
    for session_id, kind, data in rows.order_by("session", "number").values_list("session_id", "kind", "data"):
        last = states[session_id]
        if kind == EventKind.CONNECTION_QUALITY:
            last["quality"] = stored_json.text(data, "quality")
        elif kind == EventKind.LADDER:
            last["step"] = stored_json.text(data, "step")
        elif kind in (EventKind.ROOM_RECONNECTING, EventKind.FROZEN):
            last["is_away"] = True
        else:
            last["is_away"] = False
            last["step"] = "picture" if kind == EventKind.FIRST_FRAME else last.get("step", "picture")
    return states


def _row(session: StreamingSession, page_state: Mapping[str, Any], viewer: User) -> SessionRow:
    network = _network(session, page_state)
    tone, stage = _stage(session, page_state)
    is_stopping = session.status == Status.STOPPING
    admin = "admin:avatar_sessions_streamingsession"
    can_observe = (
        session.room and session.status in (Status.CONNECTING, Status.LIVE) and viewer.has_perm(roles.OBSERVE_SESSION)
    )
    shows_costs = viewer.has_perm(Permission.VIEW_COSTS) and session.provider_session_id
    return SessionRow(
        id=str(session.pk),
        user=session.owner_name,
        persona=session.persona.name,
        version=_("version %(number)d") % {"number": session.persona_version},
        face=session.persona.avatar.preview_url,
        tone=tone,
        stage=str(stage),
        why=end_evidence.label(session.end_reason),
        trouble=_stop_trouble(session),
        note=_("Unattended time") if session.abandoned_at else "",
        is_alert=is_stopping or session.abandoned_at is not None,
        is_stopping=is_stopping,
        quality=_quality(session),
        created_at=session.created_at.isoformat(),
        ends_at=session.ends_at.isoformat(),
        credits_per_minute=float(quotas.credits_per_minute(session.account)) if shows_costs else None,
        network=network,
        network_words=str(NETWORK_LABELS[network]),
        page=reverse(f"{admin}_change", args=[session.pk]),
        look=reverse(f"{admin}_observe", args=[session.pk]) if can_observe else "",
    )


def _stop_trouble(session: StreamingSession) -> str:
    """Return why a stopping session has not ended, if its provider has answered."""
    if session.status != Status.STOPPING or not session.stop_trouble:
        return ""
    attempts = ngettext(
        "Not confirmed after %(count)d attempt.", "Not confirmed after %(count)d attempts.", session.stop_attempts
    )
    return f"{attempts % {'count': session.stop_attempts}} {end_evidence.describe(session.stop_trouble)}"


def _quality(session: StreamingSession) -> str:
    chosen = stored_json.text(session.persona_settings, "quality")
    return str(Persona.Quality(chosen).label) if chosen in Persona.Quality.values else "–"


def _stage(session: StreamingSession, page_state: Mapping[str, Any]) -> tuple[str, Any]:
    step = page_state.get("step", "picture")
    if session.status == Status.LIVE and step in REDUCED_MODE_LABELS:
        return REDUCED_MODE_LABELS[step]
    if session.status == Status.LIVE and (step != "picture" or page_state.get("is_away")):
        return RECOVERING
    return STATUS_LABELS.get(session.status, ("bad", stored_json.label(session.status)))


def _network(session: StreamingSession, page_state: Mapping[str, Any]) -> str:
    if session.abandoned_at:
        return "absent"
    if page_state.get("is_away"):
        return "lost"
    quality = page_state.get("quality")
    return quality if quality in ("good", "poor", "lost") else "unknown"


def _queue(now: datetime) -> list[QueueRow]:
    """Return all queued users, account by account, in queue order."""
    by_account: dict[int, list[QueueEntry]] = defaultdict(list)
    for entry in QueueEntry.objects.select_related("user", "persona"):
        by_account[entry.account_id].append(entry)
    people = []
    for account_id, entries in by_account.items():
        waits = queue.expected_waits(account_id, entries, now)
        for number, (entry, wait) in enumerate(zip(entries, waits, strict=True), start=1):
            expected = _("slot offered") if entry.offer_expires_at else rounded_duration(wait) or "–"
            names = {"user": entry.owner_name, "persona": entry.persona.name}
            people.append(QueueRow(entry.pk, number, **names, since=entry.created_at.isoformat(), expected=expected))
    return people


def _figures(
    accounts: list[ProviderAccount],
    sessions: list[StreamingSession],
    queued: list[QueueRow],
    viewer: User,
    now: datetime,
) -> dict[str, Any]:
    frame = metrics.first_frame(now)
    figures: dict[str, Any] = {
        "open": len(sessions),
        "places": sum(account.concurrency_limit for account in accounts),
        "waiting": len(queued),
        "usual": measured_duration(frame.median),
        "slow": measured_duration(frame.p95),
    }
    if viewer.has_perm(Permission.VIEW_COSTS):
        month = quotas.spendings(accounts, now)
        capped = [account for account in accounts if account.monthly_cap is not None and account.pk in month]
        spent = [month[account.pk].spent for account in capped]
        wasted = metrics.wasted_today(accounts, now)
        figures |= {
            "spent_today": rounded_credits(metrics.spent_today(accounts, now)),
            "spent_of_caps": float(sum(spent)),
            "caps": float(_total_cap(capped)),
            "of_caps": _spent_of_caps(spent, capped),
            "wasted": rounded_duration(wasted.time),
            "wasted_credits": rounded_credits(wasted.credits),
        }
    return figures


def _spent_of_caps(spent: list[Decimal], capped: list[ProviderAccount]) -> str:
    if not capped:
        return _("no cap")
    amounts = {"spent": rounded_credits(sum(spent, Decimal(0))), "cap": rounded_credits(_total_cap(capped))}
    return _("this month %(spent)s of %(cap)s") % amounts


def _total_cap(capped: list[ProviderAccount]) -> Decimal:
    return sum((account.monthly_cap or Decimal(0) for account in capped), Decimal(0))
