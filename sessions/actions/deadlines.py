"""Database steps of running sessions: texts, activity, deadlines, stop retries."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import Min, Q, QuerySet

from avatars.models import ProviderAccount
from heygen_portal.postgresql import clock
from heygen_portal.providers.contract.provider import OpenSession
from heygen_portal.runtime import metrics
from heygen_portal.runtime.jobs import due_rows, each_row
from heygen_portal.runtime.text import graphemes
from heygen_portal.trail import statements
from heygen_portal.trail.raw_values import AsText, IsoText
from sessions import errors
from sessions.lifecycle import (
    broadcast,
    coverage,
    end_evidence,
    events,
    first_frame,
    line_standing,
    transitions,
    unreadable,
)
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import (
    RUNNING,
    EndReason,
    LimitBy,
    SessionEvent,
    SessionTask,
    SpeechKey,
    Status,
    StreamingSession,
    Utterance,
)
from sessions.speech import speech_sql

# Characters in a text as people count them. The page counts in the same way.
TASK_MAX_CHARACTERS = 2000
# Code points in a text: one character may have any number of combining marks.
TASK_MAX_CODE_POINTS = 10_000
ROWS_PER_TICK = 500
# How long other workers leave a stop alone that one worker has claimed.
CLAIM_TIMEOUT = timedelta(seconds=60)
# A task that is still being sent at this age belonged to a process that died.
STALE_TASK_AGE = timedelta(seconds=60)
MAX_RETRY_DELAY = timedelta(seconds=60)
# The longest time from now to the deadline of a session that has reached its limit or is being stopped.
MAX_DEADLINE_DELAY = max(CLAIM_TIMEOUT, MAX_RETRY_DELAY, transitions.CREATION_TIMEOUT, transitions.STOP_TIMEOUT)
# End reasons of limits other than a duration limit.
END_REASON_BY_LIMIT: Mapping[str, EndReason] = {LimitBy.QUOTA: EndReason.QUOTA, LimitBy.SPEND_CAP: EndReason.SPEND_CAP}
# How much later than the next limit a deadline may be: clocks differ, and a report may be in flight.
DEADLINE_TOLERANCE = timedelta(seconds=10)
# What `due_reason` reads.
LIMIT_COLUMNS = ("status", "created_at", "ends_at", "active_at", "abandoned_at", "limit_by", "persona_settings")
# The column with the session's ID at the provider, by which statements name it.
PROVIDER_ID = "provider_session_id"
# More than any number of attempts at a stop; a number changed in the database may not fit into its column any more.
MAX_STOP_ATTEMPTS = 1_000_000

logger = logging.getLogger(__name__)


def accept_task(
    session_id: UUID,
    *,
    text: str,
    kind: SessionTask.Kind,
    user_id: int | None,
    ref: str = "",
    is_heard: bool = False,
) -> tuple[SessionTask, bool]:
    """Store a text before it is sent, and count it as activity. `is_heard`: the provider heard it.

    Return the task and whether it is new. If the session has a task with this `ref`, that task is returned
    unchanged, even after the session's end. Raises TextEmpty, TextTooLong, NotLive, ReadsAloudOff.
    """
    if not text.strip():
        raise errors.TextEmpty
    # There are never more characters than code points.
    if len(text) > TASK_MAX_CODE_POINTS or (
        len(text) > TASK_MAX_CHARACTERS and graphemes.count(text) > TASK_MAX_CHARACTERS
    ):
        raise errors.TextTooLong
    try:
        task = _store_text(session_id, text, kind, user_id, ref, is_heard=is_heard)
    except (IntegrityError, errors.NotLive):
        # Looked up only after the insert failed, because nearly every text is new.
        if known := _known_task(session_id, ref):
            return known, False
        raise
    return task, True


def _store_text(
    session_id: UUID, text: str, kind: SessionTask.Kind, user_id: int | None, ref: str, *, is_heard: bool
) -> SessionTask:
    """Store a text and its line. Raises NotLive, and IntegrityError for a known `ref`."""
    # Two statements without a transaction on PostgreSQL: each further one costs a round trip.
    if connection.vendor == "postgresql" and not connection.in_atomic_block:
        session = _session_for_text(session_id, kind, is_locked=False)
        wrapped = vars(session)["wrapped_key"]
        if wrapped and (task := _insert_text(session, wrapped, text, kind, user_id, ref, is_heard=is_heard)):
            return task
    with transaction.atomic():
        session = _session_for_text(session_id, kind, is_locked=True)
        wrapped = vars(session)["wrapped_key"] or SpeechKey.wrapped_for(session_id)
        stored = _insert_text(session, wrapped, text, kind, user_id, ref, is_heard=is_heard)
        assert stored is not None  # the row is locked
        return stored


def _session_for_text(session_id: UUID, kind: SessionTask.Kind, *, is_locked: bool) -> StreamingSession:
    """Return a live session that takes a text of this kind. Raises NotLive, ReadsAloudOff."""
    session = _live_session(session_id, is_locked=is_locked, for_text=True)
    if kind == SessionTask.Kind.REPEAT and not session.started_with.reads_aloud:
        raise errors.ReadsAloudOff
    return session


def _insert_text(
    session: StreamingSession,
    wrapped: bytes,
    text: str,
    kind: SessionTask.Kind,
    user_id: int | None,
    ref: str,
    *,
    is_heard: bool,
) -> SessionTask | None:
    """Return the stored text, or None if the session was changed since it was read."""
    keys = vars(session)
    task = SessionTask(pk=keys["task_key"], session=session, kind=kind, sent_by_id=user_id, ref=ref)
    task.encrypt(text, wrapped)
    task.line = Utterance(
        pk=keys["line_key"],
        session=session,
        who=Utterance.Who.USER,
        by=Utterance.By.VOICE if is_heard else Utterance.By.TEXT,
        kind=kind,
        source=events.Source.PROVIDER if is_heard else events.Source.PORTAL,
        at=task.created_at,
    )
    task.line.encrypt(text, wrapped)  # encrypted again, because the ciphertext is bound to its row
    return task if speech_sql.store_text(session, task, task.line) else None


def _known_task(session_id: UUID, ref: str) -> SessionTask | None:
    return SessionTask.objects.filter(session_id=session_id, ref=ref).first() if ref else None


def fail_task(task: SessionTask) -> None:
    """Mark a task as failed if its outcome is still unknown."""
    rows = SessionTask.objects.filter(pk=task.pk, status=SessionTask.Status.SENDING)
    with transaction.atomic():
        if rows.update(status=SessionTask.Status.FAILED, failure=errors.ProviderSilent.code):
            task.status, task.failure = SessionTask.Status.FAILED, errors.ProviderSilent.code
            events.record(task.session_id, events.task_entry(task))


def has_stale_tasks(now: datetime) -> bool:
    return _stale_tasks(now).exists()


def _stale_tasks(now: datetime) -> QuerySet[SessionTask]:
    return SessionTask.objects.filter(status=SessionTask.Status.SENDING, created_at__lte=now - STALE_TASK_AGE)


def fail_stale_tasks(now: datetime) -> None:
    """Mark tasks as failed whose sending process died. Each failure is recorded."""
    for task in each_row.readable(_stale_tasks(now).order_by("created_at"), ROWS_PER_TICK):
        with each_row.log_failure(f"task {task.pk} could not be marked as failed"):
            fail_task(task)


def stay(session_id: UUID) -> StreamingSession:
    """Start the idle limit over because the user asked to stay. Raises NotLive."""
    with transaction.atomic():
        session = _extend_idle_limit(session_id)
        events.append(session_id, Entry(EventKind.STAYED))
        broadcast.publish(session_id, broadcast.Staying())
    return session


def record_interrupted(session_id: UUID, *, is_accepted: bool) -> None:
    """Record an interruption, and start the idle limit over if the session is still live.

    `is_accepted`: the provider accepted it, and not only the page says that it was sent.
    """
    with transaction.atomic():
        session = StreamingSession.objects.select_for_update().only("status").get(pk=session_id)
        if session.status == Status.LIVE:
            _extend_idle_limit(session_id)
        entry = Entry(EventKind.INTERRUPTED, {line_standing.IS_ACCEPTED: is_accepted})
        events.append(session_id, entry, is_over=session.status == Status.ENDED)


def record_activity(session_id: UUID) -> None:
    """Start the idle limit over after speech was heard.

    The caller has recorded the report: verification compares the last activity with the events. A report for a
    session that is not live is ignored.
    """
    with suppress(errors.NotLive):
        extend_idle_limit(session_id)


def record_waiting(session_id: UUID, report: Entry) -> None:
    """Record that the page waits for the user or no longer does.

    The deadline of a connecting session is adjusted.
    """
    with transaction.atomic():
        session = StreamingSession.objects.select_for_update().get(pk=session_id)
        events.append(session_id, report, is_over=session.status == Status.ENDED)
        if session.status == Status.CONNECTING:
            session.deadline_at = transitions.next_check_at(session, is_live=False)
            session.save(update_fields=["deadline_at"])


def extend_idle_limit(session_id: UUID) -> StreamingSession:
    """Start the idle limit of a live session over and return the session.

    Raises NotLive.
    """
    with transaction.atomic():
        return _extend_idle_limit(session_id)


def _extend_idle_limit(session_id: UUID) -> StreamingSession:
    """Start the idle limit over. The cause must be among `integrity.activity.KINDS`."""
    session = _live_session(session_id, is_locked=True)
    speech_sql.update_activity(session)
    return session


def _live_session(session_id: UUID, *, is_locked: bool, for_text: bool = False) -> StreamingSession:
    """Return a live session, active now. Raises NotLive."""
    session = speech_sql.live_session(session_id, is_locked=is_locked, for_text=for_text)
    if session is None:
        raise errors.NotLive
    session.active_at = clock.now()
    session.deadline_at = transitions.next_check_at(session, is_live=True)
    return session


def claim_due(now: datetime, only: Collection[UUID] | None = None) -> list[StreamingSession]:
    """Claim due sessions that must be stopped; warn and reschedule the others.

    A session whose row, account or record cannot be read keeps no other from ending, and is stopped, too. `only`
    restricts the claims to these IDs.
    """
    due = StreamingSession.objects.due(now)
    due = due if only is None else due.filter(pk__in=only)
    try:
        return _claim_together(due, now)
    except Exception as exc:
        if each_row.is_outage(exc):
            raise  # the next tick tries again
        logger.exception("due sessions could not be claimed together")
    claimed = []
    unreadable.replace_invalid_ids(due)
    for session_id in unreadable.ids(due[:ROWS_PER_TICK]):
        row = due.filter(pk=session_id)
        for claim in (_claim_together, _claim_unreadable):
            try:
                claimed += claim(row, now)
                break
            except Exception as exc:
                if each_row.is_outage(exc):
                    raise
                logger.exception("session %s: its limits could not be enforced", session_id)
        else:
            row.update(deadline_at=now + CLAIM_TIMEOUT)
    return claimed


def _claim_unreadable(due: QuerySet[StreamingSession], now: datetime) -> list[StreamingSession]:
    """Claim a due session whose row, account or record cannot be read.

    It is stopped, unless its limits can be read and allow it to continue.
    """
    claimed = []
    with transaction.atomic():
        for session in unreadable.load(due_rows.lock_unclaimed(due)):
            if session.status == Status.STOPPING:
                due.update(deadline_at=now + CLAIM_TIMEOUT)
                claimed.append(session)
            elif (cause := _readable_cause(session.pk, now)) and transitions.begin_stop(session, *cause):
                claimed.append(session)
    return claimed


def _readable_cause(session_id: UUID, now: datetime) -> tuple[EndReason, end_evidence.Evidence] | None:
    """Return why a session must end now, with the evidence, or None if it may continue.

    It must end if its limits cannot be read.
    """
    try:
        with transaction.atomic():
            session = StreamingSession.objects.only(*LIMIT_COLUMNS).get(pk=session_id)
            Status(session.status)  # raises ValueError
            reason = due_reason(session, now)
            if reason is None:
                _schedule_next_check([session], {}, now)
                return None
            _attach_evidence({reason: [session]})
            return reason, session.end_evidence
    except Exception as exc:
        if each_row.is_outage(exc):
            raise
        logger.exception("session %s: its limits could not be read", session_id)
        return EndReason.ORPHAN_FOUND, end_evidence.unreadable(type(exc).__name__)


def _claim_together(due: QuerySet[StreamingSession], now: datetime) -> list[StreamingSession]:
    """Do what `claim_due` does, in one transaction.

    Two workers never claim the same row: a claim lasts `CLAIM_TIMEOUT`. The number of statements does not grow with
    the number of rows.
    """
    retrying, ending, continuing = [], defaultdict(list), []
    with transaction.atomic():
        rows = list(due_rows.lock_unclaimed(due.select_related("account"))[:ROWS_PER_TICK])
        for row in rows:
            if row.deadline_at:
                metrics.deadline_lateness.observe(max(0.0, (now - row.deadline_at).total_seconds()))
        without_frame = first_frame.deadlines([row for row in rows if row.status == Status.CONNECTING], now)
        for session in rows:
            if session.status == Status.STOPPING:
                retrying.append(session)
            elif reason := due_reason(session, now, without_frame.get(session.pk)):
                ending[reason].append(session)
            else:
                continuing.append(session)
        StreamingSession.objects.filter(pk__in=[session.pk for session in retrying]).update(
            deadline_at=now + CLAIM_TIMEOUT
        )
        _attach_evidence(ending)
        for reason, sessions in ending.items():
            transitions.begin_stop_all(sessions, reason, now)
        _schedule_next_check(continuing, without_frame, now)
    return retrying + [session for sessions in ending.values() for session in sessions]


def _attach_evidence(ending: Mapping[EndReason, list[StreamingSession]]) -> None:
    """Set each session's `end_evidence` to the evidence for its end reason."""
    without_video = ending.get(EndReason.NO_PICTURE, [])
    reported: dict[UUID, set[str]] = defaultdict(set)
    if without_video:
        reports = SessionEvent.objects.filter(session__in=without_video, source=events.Source.BROWSER)
        for session_id, kind in reports.values_list("session_id", "kind"):
            reported[session_id].add(kind)
    for reason, sessions in ending.items():
        for session in sessions:
            session.end_evidence = dict(_evidence(session, reason, reported[session.pk]))


def _evidence(session: StreamingSession, reason: EndReason, reported: set[str]) -> end_evidence.Evidence:
    match reason:
        case EndReason.TAB_CLOSED:
            assert session.abandoned_at is not None  # otherwise `due_reason` gives another reason
            has_tab = session.tabs.exists() and bool(session.room)  # the socket is half open
            return end_evidence.tab_left(session.abandoned_at, transitions.TAB_GRACE, is_room=has_tab)
        case EndReason.DURATION_LIMIT:
            return end_evidence.time_up(session)
        case EndReason.QUOTA:
            return end_evidence.used_up(session)
        case EndReason.SPEND_CAP:
            return end_evidence.spent(session)
        case EndReason.NO_PICTURE:
            return end_evidence.no_picture(reported, first_frame.TIMEOUT)
        case EndReason.ORPHAN_FOUND:
            return end_evidence.starting_process_died(transitions.CREATION_TIMEOUT)
        case _:
            return end_evidence.inactive(session.active_at, session.idle_timeout)


def _schedule_next_check(
    sessions: list[StreamingSession], without_frame: Mapping[UUID, first_frame.Deadline], now: datetime
) -> None:
    """Warn the sessions whose limit is near, and set the next deadline of all."""
    warnings = {session.pk: warning for session in sessions if (warning := _warning(session, now))}
    broadcast.publish_all(warnings)
    for session in sessions:
        session.deadline_at = transitions.next_check_at(
            session, is_live=session.status == Status.LIVE, first_frame_deadline=without_frame.get(session.pk)
        )
    StreamingSession.objects.bulk_update(sessions, ["deadline_at"])


def due_reason(
    session: StreamingSession, now: datetime, without_frame: first_frame.Deadline | None = None
) -> EndReason | None:
    """Return why a session must end now, or None if it may continue.

    `without_frame` is the deadline of a connecting session, read from its record unless given.
    """
    if session.abandoned_at and session.abandoned_at + transitions.TAB_GRACE <= now:
        return EndReason.TAB_CLOSED
    if session.ends_at <= now:
        return limit_end_reason(session)
    if session.status in (Status.REQUESTED, Status.CREATING):
        # The opening process gives up sooner than this, so it has died and the provider's answer is lost.
        return EndReason.ORPHAN_FOUND if session.created_at + transitions.CREATION_TIMEOUT <= now else None
    if session.status == Status.CONNECTING:
        without_frame = without_frame or first_frame.deadline(session, now)
        if now < without_frame.at:
            return None
        # While its page waited for the user, the video cannot have failed.
        return EndReason.IDLE if without_frame.is_waiting else EndReason.NO_PICTURE
    return EndReason.IDLE if session.active_at + session.idle_timeout <= now else None


def limit_end_reason(session: StreamingSession) -> EndReason:
    """Return the end reason for the limit that binds the session."""
    return END_REASON_BY_LIMIT.get(session.limit_by, EndReason.DURATION_LIMIT)


def _warning(session: StreamingSession, now: datetime) -> broadcast.Ending | None:
    """Return the warning about the nearer limit, or None if no limit is near."""
    if session.status != Status.LIVE:
        return None
    limits = ((session.ends_at, limit_end_reason(session)), (session.active_at + session.idle_timeout, EndReason.IDLE))
    at, why = min(limits)
    if at - now > max(transitions.WARNING_LEAD_TIMES):
        return None
    may_continue = why == EndReason.DURATION_LIMIT and _may_continue(session)
    return broadcast.Ending(
        why=why.value, at=at.isoformat(), seconds=round((at - now).total_seconds()), goes_on=may_continue
    )


def _may_continue(session: StreamingSession) -> bool:
    """Whether a new session is worth its cost.

    The conversation must have time left, and the user must have been active in this session.
    """
    is_used = session.live_at is not None and session.active_at > session.live_at
    return is_used and session.conversation_ends_at > session.ends_at


def repair_deadlines(now: datetime) -> int:
    """Bring forward deadlines that are later than the sessions' limits allow.

    Return their number. No event covers the column, so changing it directly in the database would disable the
    limits of a session. The value is compared as text and never parsed, because it may be invalid.
    """
    repaired = 0
    unreadable.replace_invalid_ids(StreamingSession.objects.open())
    for session_id in _sessions_with_late_deadline(now):
        try:
            repaired += _repair_deadline(session_id, now)
        except Exception as exc:
            if each_row.is_outage(exc):
                raise
            logger.exception("session %s: its deadline could not be compared with its limits", session_id)
            repaired += _make_due(session_id, now)
    return repaired


def _make_due(session_id: UUID, now: datetime) -> int:
    """Let the next tick decide about a session whose limits cannot be read, unless it is due soon. Return 1 or 0."""
    is_soon = Q(status=Status.STOPPING, deadline_at__lte=now + MAX_DEADLINE_DELAY + DEADLINE_TOLERANCE)
    return StreamingSession.objects.open().filter(pk=session_id).exclude(is_soon).update(deadline_at=now)


def _sessions_with_late_deadline(now: datetime) -> list[UUID]:
    """Return the open sessions that seem to have a late deadline.

    If a row cannot be read, return all open sessions.
    """
    rows = StreamingSession.objects.open().order_by()
    try:
        written = rows.only(*LIMIT_COLUMNS, "stop_requested_at").annotate(written=IsoText("deadline_at"))
        seen = written.iterator(chunk_size=ROWS_PER_TICK)
        return [row.pk for row in seen if _is_late(vars(row)["written"], _latest_deadline(row, now))]
    except (ArithmeticError, AttributeError, TypeError, ValueError, LookupError, DatabaseError):
        return unreadable.ids(rows)


def _is_late(written: str | None, latest: datetime) -> bool:
    return written is None or written > latest.astimezone(UTC).isoformat()


def _repair_deadline(session_id: UUID, now: datetime) -> bool:
    with transaction.atomic():
        if not _locked_if_late(session_id, now).update(deadline_at=now):
            return False
        with each_row.savepoint(f"session {session_id}: the repair of its deadline could not be recorded"):
            events.append(session_id, Entry(EventKind.DEADLINE_REPAIRED))
    return True


def _locked_if_late(session_id: UUID, now: datetime) -> QuerySet[StreamingSession]:
    """Return a query for the session if it is open and its deadline is late.

    Its row stays locked.
    """
    rows = StreamingSession.objects.open().filter(pk=session_id)
    session = rows.only(*LIMIT_COLUMNS, "stop_requested_at").select_for_update().first()
    if session is None:
        return rows.none()
    return rows.filter(Q(deadline_at__gt=_latest_deadline(session, now)) | Q(deadline_at=None))


def late_deadlines(now: datetime) -> Iterator[UUID]:
    """Yield open sessions with a deadline that their limits do not allow.

    It is later than them, or cannot be compared with them.
    """
    for session_id in _sessions_with_late_deadline(now):
        try:
            with transaction.atomic():
                is_late = _locked_if_late(session_id, now).exists()
        except (ArithmeticError, AttributeError, TypeError, ValueError, LookupError, DatabaseError):
            is_late = True
        if is_late:
            yield session_id


def _latest_deadline(session: StreamingSession, now: datetime) -> datetime:
    """Return the latest valid deadline of an open session, from its other columns."""
    match session.status:
        case Status.REQUESTED | Status.CREATING:
            latest = session.created_at + transitions.CREATION_TIMEOUT
        case Status.CONNECTING | Status.LIVE:
            latest = transitions.next_check_at(session, is_live=session.status == Status.LIVE)
        case _:
            latest = max(now, session.stop_requested_at or now) + MAX_DEADLINE_DELAY
    return max(latest, now) + DEADLINE_TOLERANCE


def release_claims(session_ids: list[UUID]) -> None:
    """Release claimed stops that were not carried out; the next tick retries them."""
    if session_ids:
        rows = StreamingSession.objects.filter(pk__in=session_ids, status=Status.STOPPING)
        rows.update(deadline_at=clock.now())


def next_retry_at(session_ids: Collection[UUID]) -> datetime | None:
    """Return the earliest retry time of these sessions; None if none is stopping."""
    rows = StreamingSession.objects.filter(pk__in=session_ids, status=Status.STOPPING)
    at: datetime | None = rows.aggregate(at=Min("deadline_at"))["at"]
    return at


def schedule_stop_retry(session: StreamingSession, jitter: float, trouble: end_evidence.Evidence | None = None) -> None:
    """Schedule the next attempt at an unconfirmed stop, with exponential back-off.

    `jitter` is between 0 and 1. `trouble` describes the provider's answer, if there was one.
    """
    attempts = _stop_attempts(session.pk) + 1
    # The exponent is bounded because 2**47 seconds overflow a timedelta, which would end the retries.
    wait = min(timedelta(seconds=2 ** min(attempts, 20)), MAX_RETRY_DELAY) * (0.5 + jitter / 2)
    rows = StreamingSession.objects.filter(pk=session.pk, status=Status.STOPPING)
    rows.update(stop_attempts=attempts, stop_trouble=dict(trouble or {}), deadline_at=clock.now() + wait)


def _stop_attempts(session_id: UUID) -> int:
    """Return the number of attempts so far; 0 if it was changed to a value that is none."""
    rows = StreamingSession.objects.filter(pk=session_id)
    counted = rows.annotate(text=AsText("stop_attempts")).values_list("text", flat=True).first() or ""
    return min(int(counted), MAX_STOP_ATTEMPTS) if counted.isascii() and counted.isdigit() else 0


def other_recorded_ids(sessions: Iterable[StreamingSession]) -> dict[UUID, set[str]]:
    """Return the sessions' IDs at the provider that their records state, without those of their rows.

    There are none unless a row was changed by SQL.
    """
    rows = {session.pk: session.provider_session_id for session in sessions}
    kinds = (EventKind.STATUS, EventKind.PROVIDER_ANSWERED_LATE)
    stating = SessionEvent.objects.filter(session__in=rows, kind__in=kinds).annotate(text=AsText("data"))
    stating = stating.filter(text__contains=PROVIDER_ID).order_by()
    found: defaultdict[UUID, set[str]] = defaultdict(set)
    for session_id, text in stating.values_list("session_id", "text"):
        with suppress(ValueError, RecursionError):  # no JSON
            for table, _key, columns in statements.stated_in(json.loads(text)):
                name = columns.get(PROVIDER_ID) if table == coverage.SESSION.name else None
                if isinstance(name, str) and name and name != rows[session_id]:
                    found[session_id].add(name)
    return found


def find_unused(account: ProviderAccount, listed: set[str], refused: UUID | None = None) -> tuple[set[str], bool]:
    """Return the listed sessions that are unused here, and whether these are all.

    A session that ended here is unused. On an exclusive account so is a session unknown here; on a shared account
    it may be another party's. While a session is being created, an unknown one may be its result: unknown sessions
    are then left out and the answer is incomplete. `refused` is a session whose creation the provider has just
    refused.
    """
    is_creating = _is_creating_session(account, refused)  # read first: a session created in between is known below
    rows = StreamingSession.objects.filter(account=account, provider_session_id__in=listed)
    known = dict(rows.values_list("provider_session_id", "status"))
    over = {provider_session_id for provider_session_id in listed if known.get(provider_session_id) == Status.ENDED}
    unknown = listed - known.keys() if account.is_exclusive else set()
    return (over, False) if unknown and is_creating else (over | unknown, True)


def record_unknown_sessions(account: ProviderAccount, listed: Iterable[OpenSession]) -> None:
    """Store which sessions listed on a shared account are unknown here.

    Staff see them on the account.
    """
    if _is_creating_session(account, None):
        return  # an unknown session may be the one being created
    rows = {row.provider_session_id: row for row in listed}
    ours = StreamingSession.objects.filter(account=account, provider_session_id__in=rows)
    not_ours = rows.keys() - set(ours.values_list("provider_session_id", flat=True))
    unknown_ids = [] if account.is_exclusive else sorted(not_ours)
    seen = {row.id: row.seen_at for row in account.sessions_of_others}
    now = clock.now().isoformat()
    updated = [{"id": name, "status": rows[name].status, "seen_at": seen.get(name, now)} for name in unknown_ids]
    if updated != account.unknown_sessions:
        ProviderAccount.objects.filter(pk=account.pk).update(unknown_sessions=updated)


def _is_creating_session(account: ProviderAccount, refused: UUID | None) -> bool:
    creating = StreamingSession.objects.filter(
        account=account, status__in=(Status.REQUESTED, Status.CREATING), deadline_at__gt=clock.now()
    )
    return (creating.exclude(pk=refused) if refused else creating).exists()


def running_at_provider(account: ProviderAccount, created_before: datetime) -> list[StreamingSession]:
    """Return the sessions of an account that the provider's list should contain."""
    rows = StreamingSession.objects.filter(account=account, status__in=RUNNING, provider_session_id__isnull=False)
    return unreadable.load(rows.filter(created_at__lt=created_before))
