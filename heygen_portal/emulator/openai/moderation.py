"""Moderation by lists of words."""

from typing import Any, Final

from heygen_portal.emulator.speech import answers

CATEGORIES: Final = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
_WORDS: Final = {
    "harassment": "idiot stupid moron idiota estupido imbecil",
    "hate": "inferior subhuman vermin infrahumano alimana",
    "illicit": "cocaine heroin counterfeit cocaina heroina falsificar",
    "illicit/violent": "bomb explosive bomba explosivo",
    "self-harm": "suicide suicidio suicidar suicidarme",
    "sexual": "porn naked porno desnudo desnuda",
    "violence": "kill murder stab shoot matar asesinar apunalar disparar",
}
_CATEGORY_BY_STEM: Final = {stem: category for category, words in _WORDS.items() for stem in answers.stems(words)}


def moderate(text: str) -> dict[str, Any]:
    found = {_CATEGORY_BY_STEM[stem] for stem in answers.stems(text) if stem in _CATEGORY_BY_STEM}
    return {
        "flagged": bool(found),
        "categories": {category: category in found for category in CATEGORIES},
        "category_scores": {category: 0.99 if category in found else 0.01 for category in CATEGORIES},
        "category_applied_input_types": {category: ["text"] for category in CATEGORIES},
    }
