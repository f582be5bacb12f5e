"""The languages that voices and personas speak: names and direction of writing."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.conf.locale import LANG_INFO
from django.utils.text import capfirst
from django.utils.translation import get_language_info
from django.utils.translation import gettext_lazy as _

from heygen_portal.providers.http.languages import CODES
from heygen_portal.runtime.text.model_fields import ChoiceField

# Languages that Django has no name for, by code.
NAMES = {
    "am": _("Amharic"), "fil": _("Filipino"), "gu": _("Gujarati"), "ha": _("Hausa"), "ht": _("Haitian Creole"),
    "jv": _("Javanese"), "lo": _("Lao"), "mt": _("Maltese"), "ps": _("Pashto"), "si": _("Sinhala"), "so": _("Somali"),
    "su": _("Sundanese"), "yo": _("Yoruba"), "zh": _("Chinese"), "zu": _("Zulu"), "xh": _("Xhosa"), "sd": _("Sindhi"),
    "mi": _("Māori"), "mg": _("Malagasy"), "sn": _("Shona"), "la": _("Latin"), "yi": _("Yiddish"),
    "ku": _("Kurdish"), "or": _("Odia"), "as": _("Assamese"), "rw": _("Kinyarwanda"), "iu": _("Inuktitut"),
}  # fmt: skip
# Written from right to left, beside those that Django knows.
RIGHT_TO_LEFT = frozenset({*settings.LANGUAGES_BIDI, "ps", "sd", "yi"})


def name_of(code: str) -> str:
    """Return a language's name in the user's language, or the code if it is unknown."""
    if name := NAMES.get(code):
        return str(name)
    try:
        return str(get_language_info(code)["name_translated"])
    except KeyError:
        return code


def own_name_of(code: str) -> str:
    """Return a language's name in the language itself, if Django has it."""
    known: Any = LANG_INFO.get(code, {})
    return str(capfirst(known["name_local"])) if "name_local" in known else name_of(code)


def full_name_of(code: str) -> str:
    """Return a language's own name, followed by that in the user's language if it is another one."""
    own, name = own_name_of(code), name_of(code)
    return own if own.casefold() == name.casefold() else f"{own} ({name})"


def choices() -> list[tuple[str, str]]:
    return sorted(((code, own_name_of(code)) for code in CODES), key=lambda choice: choice[1])


def direction(code: object) -> str:
    """Return the value of the attribute `dir` for texts in a language.

    Other languages are written from left to right, but each of their texts may quote one that is not.
    """
    return "rtl" if isinstance(code, str) and code in RIGHT_TO_LEFT else "auto"


class LanguageField(ChoiceField):
    """The code of a language that a provider may offer.

    Another language needs no migration.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"choices": choices} | kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("choices")
        return name, path, args, kwargs
