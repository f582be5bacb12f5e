"""Language codes of voices.

Catalogues give an English name, a locale, or something else.
"""

from __future__ import annotations

import re

CODE_BY_NAME = {
    "afrikaans": "af", "albanian": "sq", "amharic": "am", "arabic": "ar", "armenian": "hy", "assamese": "as",
    "asturian": "ast", "azerbaijani": "az", "bangla": "bn", "basque": "eu", "belarusian": "be", "bengali": "bn",
    "bosnian": "bs", "breton": "br", "bulgarian": "bg", "burmese": "my", "cantonese": "zh", "castilian": "es",
    "catalan": "ca", "chinese": "zh", "creole": "ht", "croatian": "hr", "czech": "cs", "danish": "da", "dari": "fa",
    "dutch": "nl", "english": "en", "esperanto": "eo", "estonian": "et", "farsi": "fa", "filipino": "fil",
    "finnish": "fi", "flemish": "nl", "french": "fr", "frisian": "fy", "gaelic": "gd", "galician": "gl",
    "georgian": "ka", "german": "de", "greek": "el", "gujarati": "gu", "hausa": "ha", "hebrew": "he", "hindi": "hi",
    "hungarian": "hu", "icelandic": "is", "igbo": "ig", "indonesian": "id", "inuktitut": "iu", "irish": "ga",
    "italian": "it", "japanese": "ja", "javanese": "jv", "kannada": "kn", "kazakh": "kk", "khmer": "km",
    "kinyarwanda": "rw", "korean": "ko", "kurdish": "ku", "kyrgyz": "ky", "lao": "lo", "laotian": "lo", "latin": "la",
    "latvian": "lv", "lithuanian": "lt", "luxembourgish": "lb", "macedonian": "mk", "malagasy": "mg", "malay": "ms",
    "malayalam": "ml", "maltese": "mt", "mandarin": "zh", "maori": "mi", "marathi": "mr", "mongolian": "mn",
    "myanmar": "my", "nepali": "ne", "norwegian": "no", "odia": "or", "oriya": "or", "pashto": "ps", "persian": "fa",
    "polish": "pl", "portuguese": "pt", "punjabi": "pa", "romanian": "ro", "russian": "ru", "serbian": "sr",
    "shona": "sn", "sindhi": "sd", "sinhala": "si", "sinhalese": "si", "slovak": "sk", "slovene": "sl",
    "slovenian": "sl", "somali": "so", "spanish": "es", "sundanese": "su", "swahili": "sw", "swedish": "sv",
    "tagalog": "fil", "tamil": "ta", "tatar": "tt", "telugu": "te", "thai": "th", "turkish": "tr", "turkmen": "tk",
    "ukrainian": "uk", "urdu": "ur", "uyghur": "ug", "uzbek": "uz", "valencian": "ca", "vietnamese": "vi",
    "welsh": "cy", "xhosa": "xh", "yiddish": "yi", "yoruba": "yo", "zulu": "zu",
}  # fmt: skip
# Codes of a catalogue that the portal writes otherwise.
OTHER_CODES = {
    "cmn": "zh",
    "yue": "zh",
    "tl": "fil",
    "nb": "no",
    "nn": "no",
    "in": "id",
    "iw": "he",
    "spa": "es",
    "eng": "en",
}
CODES = frozenset(CODE_BY_NAME.values())


def language_code(name: str) -> str:
    """Return the ISO 639 code of a language, such as "es" or "fil".

    Returns "" for several languages, and for a name of none: staff decide after listening to a sample.
    """
    name = name.strip().lower()
    code = re.split(r"[-_]", name, maxsplit=1)[0]
    code = OTHER_CODES.get(code, code)
    if code in CODES:
        return code
    # "Spanish (Mexico)" and "Serbian, Latin" say first which language it is; "Mexican Spanish" says it last.
    for words in (re.split(r"[(,]", name, maxsplit=1)[0], name):
        found = {CODE_BY_NAME[word] for word in re.findall(r"[^\W\d_]+", words) if word in CODE_BY_NAME}
        if found:
            return found.pop() if len(found) == 1 else ""
    return ""
