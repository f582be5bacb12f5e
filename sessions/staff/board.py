"""What staff see of everything that is open now: sessions, the line, and what is open at providers and not ours.

Read as a whole, in a number of queries that depends on nothing; `BoardConsumer` tells pages what of it has changed.
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
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from avatars.models import Persona, ProviderAccount
from heygen_portal.console.durations import how_long, measured
from heygen_portal.people.access import roles
from heygen_portal.permissions import Permission
from sessions.capacity import queue, quotas
from sessions.costs import metrics
from sessions.lifecycle import end_evidence
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import QueuePlace, SessionEvent, Status, StreamingSession

SEE, STOP = Permission.VIEW_SESSION, Permission.STOP_SESSION
COSTS, LINE = Permission.VIEW_COSTS, Permission.VIEW_QUEUE
TOLD = (
    EventKind.LADDER,
    EventKind.CONNECTION_QUALITY,
    EventKind.ROOM_RECONNECTING,
    EventKind.ROOM_RECONNECTED,
    EventKind.FROZEN,
    EventKind.FIRST_FRAME,
)
"""What pages report of their picture and network; `events.ON_BOARD` has these too."""

WAITING = gettext_lazy("Waiting for video")
STAGES = {
    Status.REQUESTED: ("accent", gettext_lazy("Requested")),
    Status.CREATING: ("accent", gettext_lazy("Asking the provider")),
    Status.CONNECTING: ("accent", WAITING),
    Status.LIVE: ("ok", gettext_lazy("Live")),
    Status.STOPPING: ("bad", gettext_lazy("Closing")),
}
STEPS = {
    "sound": ("warn", gettext_lazy("Sound only")),
    "text": ("warn", gettext_lazy("Text only")),
}
"""Where the page's ladder has come to; every other step is a try."""
TRYING = ("warn", gettext_lazy("Recovering"))
NETWORKS = {
    "good": gettext_lazy("Good"),
    "poor": gettext_lazy("Weak"),
    "lost": gettext_lazy("No video"),
    "absent": gettext_lazy("Absent"),
    "unknown": gettext_lazy("Unknown"),
}


@dataclass(frozen=True)
class Row:
    """One open session. Moments are ISO 8601; the page counts on from them."""

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
class Waiter:
    """Somebody in line."""

    id: int
    place: int
    user: str
    persona: str
    since: str
    expected: str


@dataclass(frozen=True)
class Board:
    sessions: dict[str, Row]
    line: list[Waiter]
    strangers: list[dict[str, str]]
    figures: dict[str, Any]

    def changes(self, shown: Board | None) -> dict[str, Any]:
        """Return what a page that shows `shown` must be told; empty where nothing has changed."""
        was = shown.sessions if shown else {}
        rows = [asdict(row) for key, row in self.sessions.items() if was.get(key) != row]
        told: dict[str, Any] = {"sessions": rows} if rows or not shown else {}
        if over := [key for key in was if key not in self.sessions]:
            told["over"] = over
        if not shown or self.line != shown.line:
            told["line"] = [asdict(waiter) for waiter in self.line]
        for name in ("strangers", "figures"):
            if not shown or getattr(self, name) != getattr(shown, name):
                told[name] = getattr(self, name)
        return told


def may_see(user_id: int) -> User | None:
    """Return the person, with what they may do now, if the board is theirs to see."""
    user = User.objects.filter(pk=user_id, is_active=True, is_staff=True).first()
    return user if user and user.has_perm(SEE) else None


def look(user_id: int) -> Board | None:
    """Return what this person sees in the active language; None for who may not."""
    user = may_see(user_id)
    if user is None:
        return None
    now = timezone.now()
    rows = StreamingSession.objects.open().select_related("user", "persona__avatar", "account")
    sessions = list(rows.order_by("created_at", "pk"))
    told = _told(sessions)
    shown = {str(session.pk): _row(session, told[session.pk], user) for session in sessions}
    line = _line(now) if user.has_perm(LINE) else []
    accounts = list(ProviderAccount.objects.order_by("name"))
    strangers = [
        {"id": row["id"], "status": row["status"], "account": account.name, "since": row["seen_at"]}
        for account in accounts
        for row in account.strangers
    ]
    return Board(shown, line, strangers, _figures(accounts, sessions, line, user, now))


def _told(sessions: Iterable[StreamingSession]) -> Mapping[UUID, dict[str, Any]]:
    """Return the last that each page told of its picture and its network: one query."""
    told: dict[UUID, dict[str, Any]] = defaultdict(dict)
    rows = SessionEvent.objects.filter(session__in=[session.pk for session in sessions], kind__in=TOLD)
    for session_id, kind, data in rows.order_by("session", "number").values_list("session_id", "kind", "data"):
        last = told[session_id]
        if kind == EventKind.CONNECTION_QUALITY:
            last["quality"] = data.get("quality")
        elif kind == EventKind.LADDER:
            last["step"] = data.get("step")
        elif kind in (EventKind.ROOM_RECONNECTING, EventKind.FROZEN):
            last["is_away"] = True
        else:
            last["is_away"] = False
            last["step"] = "picture" if kind == EventKind.FIRST_FRAME else last.get("step")
    return told


def _row(session: StreamingSession, told: Mapping[str, Any], viewer: User) -> Row:
    network = _network(session, told)
    tone, stage = _stage(session, told)
    is_stopping = session.status == Status.STOPPING
    admin = "admin:avatar_sessions_streamingsession"
    can_look = session.room and session.status in (Status.CONNECTING, Status.LIVE) and viewer.has_perm(roles.OBSERVE)
    may_cost = viewer.has_perm(COSTS) and session.provider_session_id
    return Row(
        id=str(session.pk),
        user=session.user.get_username(),
        persona=session.persona.name,
        version=_("version %(number)d") % {"number": session.persona_version},
        face=session.persona.avatar.preview_url,
        tone=tone,
        stage=str(stage),
        why=end_evidence.label(session.end_reason),
        trouble=_trouble(session),
        note=_("Unattended time") if session.abandoned_at else "",
        is_alert=is_stopping or session.abandoned_at is not None,
        is_stopping=is_stopping,
        quality=_quality(session),
        created_at=session.created_at.isoformat(),
        ends_at=session.ends_at.isoformat(),
        credits_per_minute=float(quotas.credits_per_minute(session.account)) if may_cost else None,
        network=network,
        network_words=str(NETWORKS[network]),
        page=reverse(f"{admin}_change", args=[session.pk]),
        look=reverse(f"{admin}_look", args=[session.pk]) if can_look else "",
    )


def _trouble(session: StreamingSession) -> str:
    """Why it is not over yet, where its provider has said so."""
    if session.status != Status.STOPPING or not session.stop_trouble:
        return ""
    tried = ngettext(
        "Not confirmed after %(count)d attempt.", "Not confirmed after %(count)d attempts.", session.stop_attempts
    )
    return f"{tried % {'count': session.stop_attempts}} {end_evidence.in_words(session.stop_trouble)}"


def _quality(session: StreamingSession) -> str:
    chosen = session.persona_settings.get("quality", "")
    return str(Persona.Quality(chosen).label) if chosen in Persona.Quality.values else "–"


def _stage(session: StreamingSession, told: Mapping[str, Any]) -> tuple[str, Any]:
    step = told.get("step", "picture")
    if session.status == Status.LIVE and step in STEPS:
        return STEPS[step]
    if session.status == Status.LIVE and (step != "picture" or told.get("is_away")):
        return TRYING
    return STAGES[Status(session.status)]


def _network(session: StreamingSession, told: Mapping[str, Any]) -> str:
    if session.abandoned_at:
        return "absent"
    if told.get("is_away"):
        return "lost"
    quality = told.get("quality")
    return quality if quality in ("good", "poor", "lost") else "unknown"


def _line(now: datetime) -> list[Waiter]:
    """Everybody who waits, account by account, in the order of their turn."""
    by_account: dict[int, list[QueuePlace]] = defaultdict(list)
    for place in QueuePlace.objects.select_related("user", "persona"):
        by_account[place.account_id].append(place)
    waiters = []
    for account_id, places in by_account.items():
        waits = queue.expected_waits(account_id, places, now)
        for number, (place, wait) in enumerate(zip(places, waits, strict=True), start=1):
            expected = _("slot offered") if place.kept_until else how_long(wait) or "–"
            names = {"user": place.user.get_username(), "persona": place.persona.name}
            waiters.append(Waiter(place.pk, number, **names, since=place.created_at.isoformat(), expected=expected))
    return waiters


def _figures(
    accounts: list[ProviderAccount],
    sessions: list[StreamingSession],
    line: list[Waiter],
    viewer: User,
    now: datetime,
) -> dict[str, Any]:
    frame = metrics.first_frame(now)
    told: dict[str, Any] = {
        "open": len(sessions),
        "places": sum(account.concurrency_limit for account in accounts),
        "waiting": len(line),
        "usual": measured(frame.usual),
        "slow": measured(frame.slow),
    }
    if viewer.has_perm(COSTS):
        month = quotas.spendings(accounts, now)
        capped = [account for account in accounts if account.monthly_cap is not None]
        spent = [month[account.pk].spent for account in capped]
        wasted = metrics.wasted_today(accounts, now)
        told |= {
            "spent_today": _credits(metrics.spent_today(accounts, now)),
            "spent_of_caps": float(sum(spent)),
            "caps": float(_caps(capped)),
            "of_caps": _of_caps(spent, capped),
            "wasted": how_long(wasted.time),
            "wasted_credits": _credits(wasted.credits),
        }
    return told


def _credits(amount: Decimal) -> str:
    return formats.number_format(amount, 2)


def _of_caps(spent: list[Decimal], capped: list[ProviderAccount]) -> str:
    if not capped:
        return _("no cap")
    figures = {"spent": _credits(sum(spent, Decimal(0))), "cap": _credits(_caps(capped))}
    return _("this month %(spent)s of %(cap)s") % figures


def _caps(capped: list[ProviderAccount]) -> Decimal:
    return sum((account.monthly_cap or Decimal(0) for account in capped), Decimal(0))
