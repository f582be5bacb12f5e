"""The libraries of a fresh portal's two personas: their documents, and answers that no document has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from avatars.documents import intake, libraries, written_answers
from avatars.models import Library, WrittenAnswer
from heygen_portal.trail.change_log import SERVER

DOCUMENTS = Path(__file__).parent / "documents"


@dataclass(frozen=True)
class StarterLibrary:
    """A library whose documents are in the folder of the persona's slug."""

    name: str
    language: str
    # Answers, each with the wordings of its question.
    written: Mapping[tuple[str, ...], str]


LIBRARIES: Mapping[str, StarterLibrary] = {
    "lucia": StarterLibrary(
        name="Clínica Aurora",
        language="es",
        written={
            ("¿Quién eres?", "¿Cómo te llamas?", "¿Qué puedes hacer?", "¿Qué sabes?", "¿En qué puedes ayudarme?"): (
                "Soy Lucía, la asistente de la Clínica Aurora. Puedo responder sobre horarios, precios, citas y "
                "análisis."
            ),
            ("¿Dónde está la clínica?", "¿Dónde están?", "¿Dónde estáis?", "¿Cuál es la dirección?"): (
                "Estamos en la calle Mayor 12, primera planta, a cinco minutos a pie de la estación."
            ),
            ("Gracias", "Muchas gracias", "Adiós", "Hasta luego"): "Gracias a usted. ¡Que tenga un buen día!",
        },
    ),
    "daniel": StarterLibrary(
        name="Account help",
        language="en",
        written={
            ("Who are you?", "What is your name?", "What can you do?", "What do you know?", "How can you help me?"): (
                "I am Daniel, the assistant for your account. I can answer questions about passwords, invoices and "
                "plans."
            ),
            ("What plans are there?", "How much does it cost?", "What does it cost?", "Which plans do you have?"): (
                "There are three plans: Basic for 8 euros a month, Team for 20 euros and Business for 60 euros."
            ),
            ("Thanks", "Thank you", "Thank you very much", "Goodbye", "Bye"): "You are welcome. Have a nice day!",
        },
    ),
}


def create(slug: str) -> Library:
    """Create the library of a persona and read its documents."""
    starter = LIBRARIES[slug]
    library = Library(name=starter.name, language=starter.language)
    libraries.save(library, SERVER)
    for path in sorted((DOCUMENTS / slug).glob("*.md")):
        with path.open("rb") as file:
            version = intake.add_file(library, file, path.name, SERVER)
        intake.read(version.pk)
    for wordings, answer in starter.written.items():
        written_answers.save(WrittenAnswer(library=library, wordings=list(wordings), answer=answer), SERVER)
    return library
