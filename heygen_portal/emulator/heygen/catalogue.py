"""Avatars, voices and knowledge bases of the emulated account."""

from dataclasses import asdict, dataclass
from typing import Final
from uuid import uuid4

from heygen_portal.emulator.sessions.interfaces import Voice
from heygen_portal.emulator.sessions.options import CatalogueAvatar


@dataclass(frozen=True)
class CatalogueVoice:
    voice_id: str
    name: str
    language: str  # as the service spells it
    gender: str
    speech_voice: Voice


@dataclass
class KnowledgeBase:
    id: str
    name: str
    opening: str
    prompt: str


VOICES: Final = (
    CatalogueVoice("1bd001e7e50f421d891986aad5158bc8", "Lucía", "Spanish", "female", Voice("es", 58, "f2")),
    CatalogueVoice("2d5b0e6cf36f460aa7fc47e3eee4ba54", "Daniel", "Spanish", "male", Voice("es", 42, "m3")),
    CatalogueVoice("5d8c378ba8c3434586081a52ac368738", "Nora", "English", "female", Voice("en", 56, "f3")),
    CatalogueVoice("8fbb3a0c6f4d4e6f9f3f0f4c2a7be611", "Hugo", "English", "male", Voice("en", 40, "m1")),
)

_ES_FEMALE, _ES_MALE, _EN_FEMALE, _EN_MALE = (voice.voice_id for voice in VOICES)

AVATARS: Final = (
    CatalogueAvatar("Lucia_public_20260101", "Lucía", "lucia", "female", _ES_FEMALE, 1767225600),
    CatalogueAvatar("Daniel_public_20260101", "Daniel", "daniel", "male", _ES_MALE, 1767225601),
    CatalogueAvatar("Ines_public_20260101", "Inés", "ines", "female", _ES_FEMALE, 1767225602),
    CatalogueAvatar("Amara_public_20260101", "Amara", "amara", "female", _EN_FEMALE, 1767225603),
    CatalogueAvatar("Nora_public_20260101", "Nora", "nora", "female", _EN_FEMALE, 1767225604),
    CatalogueAvatar("Hugo_public_20260101", "Hugo", "hugo", "male", _EN_MALE, 1767225605, status="INACTIVE"),
    CatalogueAvatar("Nora_standing_video", "Nora, standing", "nora", "female", _EN_FEMALE, 1735689600, streams=False),
    CatalogueAvatar("Hugo_v2_20240101", "Hugo (2024)", "hugo", "male", _EN_MALE, 1704067200, deprecated=True),
)

_RECEPTION = """Somos la Clínica Aurora, en la calle Mayor 12, primera planta.
El horario es de lunes a viernes de 8 a 20 horas y los sábados de 9 a 14 horas.
Para pedir cita se necesita el nombre completo y un teléfono.
Las citas se cambian o se cancelan hasta 24 horas antes sin coste.
La primera consulta cuesta 40 euros y las revisiones cuestan 25 euros.
Se puede pagar con tarjeta, en efectivo o por transferencia.
El aparcamiento está en la plaza, a dos minutos a pie, y es gratis la primera hora.
Para las urgencias llame al 112.
Los resultados de los análisis llegan por correo en tres días.
"""

_ACCOUNT_HELP = """To reset your password, open Sign in, choose Forgot password and follow the link we send you.
The link in the email is valid for one hour.
You can change your email address under Account, Profile.
Invoices are sent on the first day of each month and are listed under Account, Billing.
We accept credit cards and bank transfers.
To cancel your plan, open Account, Plan and choose Cancel; you keep access until the end of the month.
Refunds are possible within 14 days of payment.
Two-step sign-in is switched on under Account, Security.
Support is open from Monday to Friday between 9 and 17 hours.
Support answers by email.
"""


def _initial_knowledge() -> dict[str, KnowledgeBase]:
    bases = (
        KnowledgeBase(
            "c1a5e0d27b6f4c0e9d3a8b54f2e61709",
            "Recepción y citas",
            "Hola, soy la recepción de la Clínica Aurora. ¿En qué puedo ayudarle?",
            _RECEPTION,
        ),
        KnowledgeBase(
            "e94b7c3815da4f2fb6c07d2a9e830f14",
            "Account help",
            "Hello, I can help you with your account. What would you like to know?",
            _ACCOUNT_HELP,
        ),
    )
    return {base.id: base for base in bases}


class Catalogue:
    """Avatars and voices are fixed. Knowledge bases can change, up to LIMIT."""

    LIMIT: Final = 1000

    def __init__(self) -> None:
        self.avatars = {avatar.avatar_id: avatar for avatar in AVATARS}
        self.voices = {voice.voice_id: voice for voice in VOICES}
        self.knowledge = _initial_knowledge()

    def add_knowledge(self, name: str, opening: str, prompt: str) -> KnowledgeBase:
        """Add a knowledge base, replacing the oldest client-made one beyond LIMIT."""
        base = KnowledgeBase(uuid4().hex, name, opening, prompt)
        if len(self.knowledge) >= self.LIMIT:
            kept = _initial_knowledge()
            del self.knowledge[next(key for key in self.knowledge if key not in kept)]
        self.knowledge[base.id] = base
        return base

    def voice_for(self, avatar: CatalogueAvatar, language: str) -> CatalogueVoice:
        """Return the avatar's voice, or another one if it does not speak `language`.

        `language` is `es`, `en-US` or the like, or empty for any.
        """
        own = self.voices[avatar.default_voice]
        short = language[:2].lower()
        if not short or own.speech_voice.language == short:
            return own
        speaking = [voice for voice in VOICES if voice.speech_voice.language == short]
        alike = [voice for voice in speaking if voice.gender == own.gender]
        return (alike or speaking or [own])[0]


def as_json(base: KnowledgeBase) -> dict[str, str]:
    return asdict(base)
