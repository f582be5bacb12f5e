"""Answers of the avatar, taken only from its knowledge base."""

import re
import unicodedata
from collections.abc import Sequence
from math import log
from typing import Final


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_UNKNOWN: Final = {
    "es": "Lo siento, de eso no tengo información.",
    "en": "I am sorry, I have no information about that.",
}
_HELLO: Final = {"es": "Hola, ¿en qué puedo ayudarle?", "en": "Hello, how can I help you?"}
# Word lists are written as text for readability.
_GREETINGS: Final = _set("hola buenas buenos dias tardes noches hello hi hey good morning afternoon evening")
# Words that carry no topic.
_STOP_WORDS: Final = _set("""
    a al algo ante con cual cuales cuando cuanta cuanto cuantos de del desde donde el ella en entre es esa ese eso esta
    este esto estoy hay la las le les lo los me mi mis muy no nos o os para pero por porque puede puedo pueden que quien
    quiero se ser si sin sobre son soy su sus tal te tengo tiene tienen tu tus un una uno unos usted y ya yo favor
    gracias saber decir dime como quisiera podria estas hola
    an about am and any are as at be been but by can could do does for from get give have how i if in is it its know me
    my of off on or our please so tell than that the their them there they this to us was we what when where which who
    whats why will with would you your hello hi much many thanks want need let find see show reach between
""")
# Words that mean the same in a question and in its answer.
_CONCEPTS: Final = {
    word: concept
    for concept, words in (
        (
            "opening-hours",
            """
            open opens opened opening close closes closed closing hour hours
            abre abren abrir abrimos abierto abierta abiertos abiertas apertura cierra cierran cierre cerrar cerrado
            cerrada hora horas horario horarios
        """,
        ),
        ("price", "price prices cost costs precio precios cuesta cuestan costar tarifa tarifas"),
        ("talk", "talk talks speak speaks hablar habla hablo hablen"),
        ("leave", "leave dejar dejo deje"),
        ("message", "message messages note notes mensaje mensajes recado"),
    )
    for word in words.split()
}
# Words of many topics. They prove a match only together with another word, or if the sentence says little else.
_WEAK_WORDS: Final = _set("""
    hours change changes choose new good first last time day days week month months year minute minutes name number
    cambio cambia cambiar cambian primera primero ultima nueva nuevo dia dias semana mes meses minuto minutos nombre
    numero
""")
# Words that say when or how much. They answer a question and are not its topic.
_AMOUNTS: Final = _set("""
    monday tuesday wednesday thursday friday saturday sunday noon midnight
    one two three four five six seven eight nine ten eleven twelve
    lunes martes miercoles jueves viernes sabado sabados domingo domingos mediodia
    dos tres cuatro cinco seis siete ocho nueve diez once doce
""")
_ENDINGS: Final = tuple(
    sorted(
        _set("""
    amientos amiento aciones imiento ciones cion mente ando iendo aron ieron aba ian ado ada idos idas ido ida
    ations ation ings ing ments ment edly ies ied ed es as os ar er ir an en s a o e i y
"""),
        key=len,
        reverse=True,
    )
)
_MIN_STEM_CHARACTERS: Final = 3
_MIN_SCORE: Final = 0.51  # share of the question's weight that an answer must match: more than a half
_MIN_WEAK_SHARE: Final = 1 / 3  # share of a sentence's words that weak words must match if they match alone
_COMMON_SHARE: Final = 1 / 3  # a word in more sentences than this is weak in this text
_MAX_SENTENCES: Final = 2


def answer(question: str, *, knowledge: str, opening: str, language: str) -> str:
    """Return the sentences of `knowledge` that match the question.

    Greetings are answered with the opening, unknown topics with a fixed phrase.
    """
    if is_greeting(question):
        return opening or hello(language)
    known = sentences(knowledge)
    return " ".join(known[index] for index in matching(question, known)) or unknown(language)


def is_greeting(text: str) -> bool:
    found = words(text)
    return bool(_GREETINGS & set(found)) and all(word in _GREETINGS or word in _STOP_WORDS for word in found)


def hello(language: str) -> str:
    return _phrase(_HELLO, language)


def unknown(language: str) -> str:
    """Return the phrase that says that the knowledge base has no answer."""
    return _phrase(_UNKNOWN, language)


def _phrase(phrases: dict[str, str], language: str) -> str:
    return phrases.get(language[:2].lower(), phrases["en"])


def matching(question: str, known: Sequence[str]) -> list[int]:
    """Return the indices of the sentences that answer the question, at most two."""
    asked, by_sentence = stems(question), [stems(sentence) for sentence in known]
    found_in = {stem: sum(stem in other for other in by_sentence) for stem in asked}
    # Rare words weigh more than frequent ones; unknown words weigh as much as the rarest.
    weights = {stem: log(1 + len(known) / max(1, count)) for stem, count in found_in.items()}
    total = sum(weights.values())
    if not total:
        return []
    common = len(known) * _COMMON_SHARE
    strong = frozenset(stem for stem in asked if stem not in _WEAK_STEMS and found_in[stem] <= max(1, common))
    scores = [
        sum(weights[stem] for stem in asked & other) / total if _is_match(asked & other, other, strong) else 0.0
        for other in by_sentence
    ]
    best = max(scores, default=0.0)
    if best < _MIN_SCORE:
        return []
    return [index for index, score in enumerate(scores) if score > best * 0.9][:_MAX_SENTENCES]


def _is_match(matched: frozenset[str], sentence: frozenset[str], strong: frozenset[str]) -> bool:
    """Return whether the matched words show that the sentence is on topic."""
    about = [stem for stem in sentence if stem not in _AMOUNT_STEMS and not stem.isdigit()]
    return bool(matched & strong) or len(matched) >= max(1.0, _MIN_WEAK_SHARE * len(about))


def sentences(text: str) -> list[str]:
    """Split the text into sentences by line and full stop, without list markers."""
    lines = (line.strip().lstrip("-*• ") for line in text.splitlines())
    return [part.strip() for line in lines for part in re.split(r"(?<=[.!?])\s+", line) if part.strip()]


def words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFD", text.lower())
    return re.findall(r"[a-z0-9]+", "".join(char for char in plain if not unicodedata.combining(char)))


def stems(text: str) -> frozenset[str]:
    return frozenset(topic(text))


def topic(text: str) -> list[str]:
    """Return the words that carry the topic, without accents and endings."""
    return [_stem(word) for word in words(text) if word not in _STOP_WORDS]


def is_weak(stem: str) -> bool:
    """Return whether a word belongs to many topics."""
    return stem in _WEAK_STEMS


def _stem(word: str) -> str:
    """Return the word's concept, or the word without up to two endings.

    So "pago" matches "pagar".
    """
    if concept := _CONCEPTS.get(word):
        return concept
    for _ in range(2):
        for ending in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= _MIN_STEM_CHARACTERS:
                word = word.removesuffix(ending)
                break
    return word


_WEAK_STEMS: Final = frozenset(map(_stem, _WEAK_WORDS))
_AMOUNT_STEMS: Final = frozenset(map(_stem, _AMOUNTS))
