"""Data for the live board: open sessions, queued users, and costs."""

SEED = """
import httpx, random, uuid
from datetime import timedelta
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone
from avatars.models import Persona, ProviderAccount
from sessions.lifecycle import events
from sessions.costs import ledger
from sessions.lifecycle.events import Entry, Source
from sessions.models import Conversation, QueueEntry, ServerProcess, StreamingSession

now, chance = timezone.now(), random.Random(1)
StreamingSession.objects.open().update(status="ended", end_reason="staff_stopped", ended_at=now, deadline_at=None)
QueueEntry.objects.all().delete()
seen = {"id": "a71c-of-another-program", "status": "connected", "seen_at": now.isoformat()}
silent, _ = ProviderAccount.objects.update_or_create(  # it never answers, so its list is not compared
    name="Main", defaults={"base_url": "http://127.0.0.1:9", "api_key": "k", "concurrency_limit": 49,
                           "monthly_cap": 500, "alarm_share": 40, "unknown_sessions": [seen]})
personas = list(Persona.objects.filter(slug__in=("lucia", "daniel")).select_related("avatar__account"))
emulator = personas[0].avatar.account
opened = httpx.post(f"{settings.EMULATOR_URL}/v1/streaming.new", headers={"X-Api-Key": settings.EMULATOR_API_KEY},
                    json={"version": "v2", "avatar_id": personas[0].avatar.provider_avatar_id})
theirs = opened.json()["data"]["session_id"]

def person(n):
    return User.objects.get_or_create(username=f"person-{n:02}")[0]

def make(n, status, age_s, account=silent, **fields):
    persona = personas[n % len(personas)]
    began = now - timedelta(seconds=age_s)
    over = status == "ended"
    fields = {"live_at": began + timedelta(seconds=chance.uniform(.7, 2.4))} | fields
    conversation = Conversation.objects.create(id=uuid.uuid4(), user=person(n), persona=persona, started_at=began)
    return StreamingSession.objects.create(
        id=conversation.pk, conversation=conversation, user=person(n),
        account=account, persona=persona, persona_version=persona.version,
        persona_settings=persona.snapshot(), status=status, created_at=began, active_at=now,
        ends_at=began + timedelta(minutes=20), deadline_at=None if over else now + timedelta(hours=1),
        **({"provider_session_id": uuid.uuid4().hex} | fields))

def record_event(session, kind, **data):
    events.record(session.pk, Entry(kind, data, Source.BROWSER))

make(0, "live", 31, account=emulator, provider_session_id=theirs)
make(1, "stopping", 511, end_reason="tab_closed", abandoned_at=now)
record_event(make(2, "live", 182), "ladder", step="rejoin")
sound = make(3, "live", 350)
record_event(sound, "ladder", step="sound")
record_event(sound, "connection_quality", quality="poor")
make(4, "live", 1148)
make(5, "connecting", 4, live_at=None)
make(6, "live", 90, abandoned_at=now)
for n in range(7, 50):
    record_event(make(n, "live", chance.randrange(20, 1000)), "connection_quality", quality="good")

process = ServerProcess.objects.create(lease_ends_at=now + timedelta(hours=1))
for n, age in ((50, 130), (51, 92), (52, 21)):
    QueueEntry.objects.create(user=person(n), account=silent, persona=personas[n % 2], process=process,
                              channel=uuid.uuid4().hex, created_at=now - timedelta(seconds=age))

if not StreamingSession.objects.filter(end_reason="idle").exists():
    for day in range(14):
        for n in range(chance.randrange(3, 9)):
            lasted = chance.randrange(60, 1100)
            why = chance.choice(["user_stopped"] * 6 + ["idle", "idle", "no_picture"])
            session = make(n, "ended", 86400 * day + 1200, end_reason=why,
                           ended_at=now - timedelta(days=day, seconds=1200 - lasted))
            events.record(session.pk, Entry("last_tab_left", {}, at=session.ended_at - timedelta(seconds=lasted / 9)))
            if n % 2:
                credits = str(round((lasted + 9) / 300, 2))
                record_event(session, "provider_record", seconds=lasted + 4.0, credits=credits)
ledger.book_all()
"""
