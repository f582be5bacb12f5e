"""Webhooks in every state, and an embedded persona with links, as code for `manage.py shell`."""

from __future__ import annotations

SEED = """
from datetime import timedelta
from uuid import uuid4
from django.utils import timezone
from heygen_portal.models import EventType, Webhook, WebhookDelivery
from heygen_portal.trail.change_log import SERVER
from heygen_portal.webhooks import changes, delivery, outbox
from heygen_portal.webhooks.outbox import Notice
from heygen_portal.webhooks.sending import Answer
from avatars.models import Persona
from sessions.embed import admission, settings
from sessions.models import PersonaEmbed

Outcome, now = WebhookDelivery.Outcome, timezone.now()
ENDED = {"session": str(uuid4()), "persona": "daniel", "reason": "user_stopped", "seconds": 372, "credits": "1.2400"}

def tell(webhook, answer, hours):
    row = outbox.write_to(webhook, Notice(EventType.SESSION_ENDED, ENDED))
    [claimed] = delivery._claim_deliveries(webhook.pk, timezone.now())
    delivery._store(webhook.pk, [(claimed, answer)], timezone.now())
    rows = WebhookDelivery.objects.filter(pk=row.pk)
    at = now - timedelta(hours=hours)
    rows.update(attempted_at=at)
    rows.exclude(finished_at=None).update(finished_at=at)

def webhook(name, url):
    made = Webhook(name=name, url=url, events=["session.ended", "transcript.ready", "incident.opened"])
    changes.create(SERVER, made)
    Webhook.objects.filter(pk=made.pk).update(claimed_until=now + timedelta(days=1))  # the worker sends nothing
    return made

Webhook.objects.all().delete()
took = timedelta(seconds=1.2)
failing = webhook("CRM", "https://crm.examplia.test/hooks/portal")
healthy = webhook("Data warehouse", "https://in.examplia.test/v1/events")
gone = webhook("On-call", "https://alerts.examplia.test/portal")
for hours in range(23):
    for _ in range(hours % 5):
        tell(healthy, Answer(Outcome.ACCEPTED, 204, took=took), hours)
    tell(failing, Answer(Outcome.ACCEPTED, 200, "ok", took=took), hours + 1)
for hours in (1, 0):
    tell(failing, Answer(Outcome.REFUSED, 500, '{"error":"duplicate key"}', took=took), hours)
tell(failing, Answer(Outcome.TIMED_OUT, None, took=timedelta(seconds=15)), 0)
tell(gone, Answer(Outcome.REFUSED, 410, took=took), 2)
changes.replace_secret(SERVER, failing.pk)

persona = Persona.objects.get(slug="daniel")
embed = settings.of_persona(persona)
embed.is_enabled, embed.origins, embed.needs_guardian = True, ["https://www.examplia.test"], True
embed.bubble_text = "Ask Daniel"
settings.save(embed, SERVER)
made = {}
week = timedelta(days=7)
for label in ("Trade fair", "Entrance hall", "Last year"):
    is_kiosk = label == "Entrance hall"
    made[label] = settings.add_link(persona, SERVER, label=label, lifetime=week, max_uses=50, is_kiosk=is_kiosk)
settings.revoke_link(made["Last year"].embed, made["Last year"].pk, SERVER)
codes = [admission.signed_code(link) for link in made.values()]
print("SEEDED", failing.pk, gone.pk, persona.pk, made["Trade fair"].embed.public_id, *codes)
"""


def seeded(output: str) -> list[str]:
    """Return the failing webhook, the one that is gone, the persona, its public ID, and the codes of three links."""
    return output.split("SEEDED ")[1].split("\n", maxsplit=1)[0].split()
