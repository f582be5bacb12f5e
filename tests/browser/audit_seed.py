"""Two sessions for the auditor's page: one successful, one with problems."""

SEED = """
from datetime import datetime, timedelta, UTC
from uuid import UUID
from django.contrib.auth.models import Group, User
from avatars.models import Persona
from heygen_portal.trail import statements
from sessions.lifecycle import coverage, events
from sessions.audit import inspection
from sessions.costs import ledger
from sessions.lifecycle.events import Entry, Source
from sessions.models import Conversation, SessionHead, StreamingSession

auditor, is_new = User.objects.get_or_create(username="auditor", defaults={"is_staff": True})
if is_new:
    auditor.set_password("a-word-for-tests")
    auditor.save()
    auditor.groups.add(Group.objects.get(name="Auditors"))
demo = User.objects.get(username="demo")

def make(pk, slug, began, lasted, reason, evidence, recorded, lines, sent=()):
    if StreamingSession.objects.filter(pk=pk).exists():
        return False
    persona = Persona.objects.get(slug=slug)
    conversation = Conversation.objects.create(
        id=UUID(pk), user=demo, persona=persona, started_at=began, ended_at=began + timedelta(seconds=lasted))
    session = StreamingSession.objects.create(
        pk=UUID(pk), conversation=conversation, user=demo,
        account=persona.avatar.account, persona=persona, persona_version=persona.version or 1,
        persona_settings=persona.snapshot(), status="ended", end_reason=reason, end_evidence=evidence,
        created_at=began, live_at=began + timedelta(seconds=1.32), ended_at=began + timedelta(seconds=lasted),
        ends_at=began + timedelta(minutes=20), provider_session_id=pk[:8],
    )
    SessionHead.objects.create(session=session, number=0, signature=SessionHead.sign(session.pk, 0, ""))
    for at, who, by, text, cut in lines:
        session.utterances.create(who=who, by=by, text=text, is_interrupted=cut, source="browser",
                                  at=began + timedelta(seconds=at))
    for at, text, task_id in sent:
        session.tasks.create(kind="talk", text=text, sent_by=demo, status="sent", provider_task_id=task_id,
                             created_at=began + timedelta(seconds=at))
    rows = statements.merged(
        statements.state(coverage.CONVERSATION, conversation), statements.state(coverage.SESSION, session, late=True),
        *(statements.state(coverage.LINE, line) for line in session.utterances.all()),
        *(statements.state(coverage.TASK, task) for task in session.tasks.all()),
    )
    entries = []
    for at, source, kind, data in recorded:
        at = began + timedelta(seconds=at)
        ours = source != "browser"
        clock = {} if ours else {"page_at": (at - timedelta(milliseconds=38)).isoformat()}
        is_end = data.get("to") == "ended"
        entries.append(Entry(kind, dict(data) | clock | (rows if is_end else {}), Source(source), at))
    events.append(session.pk, *entries, is_over=True)
    return True

def status(at, was, to, **more):
    return (at, "portal", "status", {"from": was, "to": to, **more})

START = [
    (0.018, "portal", "requested", {"persona": "lucia", "version": 1}), status(0.018, "requested", "creating"),
    (0.31, "portal", "provider_authenticated", {}), (0.612, "portal", "provider_created", {"is_paid": True}),
    status(0.613, "creating", "connecting"), (0.886, "browser", "room_connected", {}),
    (1.082, "portal", "provider_started", {}), (1.09, "browser", "track_published", {"kind": "video"}),
    (1.1, "browser", "track_subscribed", {"kind": "video", "identity": "avatar"}),
    (1.32, "browser", "first_frame", {"width": 1280, "height": 720, "ms": 1301}), status(1.33, "connecting", "live"),
]
make("5c210800-0000-4000-8000-000000000001", "lucia", datetime(2026, 1, 20, 9, 24, 5, tzinfo=UTC), 372.4,
     "user_stopped", {"code": "person", "user": demo.pk}, START + [
    (5.1, "browser", "user_start", {}), (7.2, "browser", "user_stop", {}),
    (7.402, "browser", "user_end_message", {"characters": 34}),
    (8.196, "browser", "avatar_start_talking", {"task_id": "v1"}), (11.94, "portal", "interrupted", {}),
    (12.0, "browser", "avatar_end_message", {"task_id": "v1", "characters": 46, "interrupted": True}),
    (12.1, "browser", "avatar_stop_talking", {"task_id": "v1", "duration_ms": 3804}),
    (57.3, "portal", "task", {"kind": "talk", "status": "sent"}),
    (57.71, "browser", "avatar_start_talking", {"task_id": "t1"}),
    (61.2, "browser", "avatar_stop_talking", {"task_id": "t1", "duration_ms": 3500}),
    status(372.01, "live", "stopping", reason="user_stopped"),
    status(372.39, "stopping", "ended", reason="user_stopped"),
    (372.6, "browser", "picture", {"fps": 24.9, "seconds": 365}), (376.2, "browser", "rated", {"rating": "good"}),
], [
    (3, "avatar", "voice", "Hola. Soy Lucía, de recepción. ¿En qué te ayudo?", False),
    (7, "user", "voice", "Quiero cambiar mi cita del jueves.", False),
    (8, "avatar", "voice", "Claro. El jueves tienes cita en la segunda planta, y", True),
    (57, "user", "text", "Sí, esa. ¿Puede ser el viernes por la tarde?", False),
    (58, "avatar", "voice", "El viernes hay dos huecos: a las cuatro y a las cinco.", False),
], [(57, "Sí, esa. ¿Puede ser el viernes por la tarde?", "t1")])
is_new = make("b4d50900-0000-4000-8000-000000000002", "daniel", datetime(2026, 1, 20, 10, 2, 11, tzinfo=UTC), 96.2,
     "provider_ended", {"code": "room_closed", "asked_at": "2026-01-20T10:03:46+00:00"}, START + [
    (22.4, "portal", "task", {"kind": "talk", "status": "sent"}),
    (34.9, "browser", "avatar_start_talking", {"task_id": "t2"}), (41.2, "browser", "frozen", {}),
    (41.2, "browser", "verdict", {"code": "frozen", "stage": "rejoin"}),
    (41.3, "browser", "ladder", {"step": "rejoin", "from": "picture", "because": "frozen"}),
    (41.8, "portal", "provider_asked", {"status": "connected", "is_other_room": False}),
    (44.6, "browser", "room_connected", {}),
    (45.4, "browser", "first_frame", {"width": 1280, "height": 720, "ms": 45381}),
    (95.1, "browser", "room_disconnected", {"reason": 5}),
    status(95.8, "live", "stopping", reason="provider_ended"),
    status(96.2, "stopping", "ended", reason="provider_ended"),
    (96.4, "browser", "picture", {"fps": 17.2, "seconds": 88}),
    (99.4, "browser", "avatar_start_talking", {"task_id": "t3"}), (101.0, "browser", "rated", {"rating": "poor"}),
], [
    (22, "user", "text", "Something is off with my invoice.", False),
    (35, "avatar", "voice", "Let’s look at it together. Which month, and what does not", True),
], [(22, "Something is off with my invoice.", "t2")])
if is_new:
    ledger.book_all()
    troubled = UUID("b4d50900-0000-4000-8000-000000000002")
    inspection.record_opening(troubled, auditor.pk, "192.0.2.18", "Reclamación 2026-118")
"""
GOOD, TROUBLED = "5c210800-0000-4000-8000-000000000001", "b4d50900-0000-4000-8000-000000000002"
