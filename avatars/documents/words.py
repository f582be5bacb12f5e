"""Words by which passages are found: without accents, reduced to their stems, without those that carry no topic.

Neither database has stemmers for all languages, so both index what this module returns.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache

import snowballstemmer

from avatars.models.documents import MAX_WORD_CHARACTERS
from heygen_portal.runtime.accents import fold_accents
from heygen_portal.runtime.text.tokens import pairs, tokens_as_written

MAX_QUERY_CHARACTERS = 1000
MAX_QUERY_WORDS = 30
CACHED_STEMS = 100_000
ALGORITHMS = {
    "es": "spanish",
    "en": "english",
    "pt": "portuguese",
    "it": "italian",
    "fr": "french",
    "de": "german",
}

# What Japanese writes particles and endings with.
HIRAGANA = re.compile("[\u3041-\u309f]")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Articles, pronouns, prepositions, auxiliary verbs, and what people say when they ask. Without accents.
STOP_WORDS = {
    "es": _set("""
        a al algo alguien algun alguna algunas alguno algunos alli ante aqui asi aun aunque bajo bien cada casi como
        con contra cual cuales cualquier cuando cuanta cuantas cuanto cuantos da dan dar de debe deben debo decir
        decirme del desde dime donde dos e el ella ellas ellos en entonces entre era eran eres es esa esas ese eso
        esos esta estaba estamos estan estar estas este esto estos estoy favor fue fueron gracias gustaria ha haber
        habia hace hacen hacer hacerlo hago han has hasta hay he hola incluso ir la las le les lo los mas me mi mis
        misma mismo mucho muy nada necesito ni no nos nosotros nuestra nuestras nuestro nuestros o ocurre os otra
        otras otro otros para pasa pero poco podeis podemos podria podriais podrias por porque pueda puede pueden
        puedo pues que quien quienes quiere quiero quisiera sabeis saber sabes se sea segun ser si sido siempre sin
        sobre sois solo somos son soy su sus suyo tal tambien tan tanto te teneis tenemos tener tengo ti tiene tienen
        tienes toda todas todo todos tras tu tus un una unas uno unos usted ustedes va vais vamos van veces vez
        vosotros voy vuestra vuestras vuestro vuestros y ya yo
    """),
    "en": _set("""
        a about above after again all also am an and any are as at be because been before being below but by can could
        did do does doing don down during each else ever every few for from further get gets getting give go going
        good got had happen happens has have having he hello her here hers hi him his how however i if in into is it
        its itself just know let like ll many may me might more most much must my myself need no nor not now of off on
        once only or other our ours out over own please re s same shall she should so some such t tell than thank
        thanks that the their theirs them then there these they thing things this those through to too under until up
        us use ve very want wants was we well were what whats when where whether which while who whom whose why will
        with without won would yes yet you your yours yourself
    """),
    "pt": _set("""
        a ao aos aquela aquelas aquele aqueles aquilo as ate com como da das de dela dele deles depois do dos e ela
        elas ele eles em entre era essa essas esse esses esta estao estas estava este estes estou eu existe favor faz
        fazer foi foram gostaria ha isso isto ja la lhe lhes lo mais mas me mesmo meu meus minha minhas muito na nao
        nas nem no nos nossa nossas nosso nossos num numa o obrigada obrigado ola onde os ou para pela pelas pelo
        pelos pode podem por porque posso preciso quais qual quando quanta quantas quanto quantos que quem quero saber
        se sem ser sera seu seus so sobre somos sou sua suas tambem te tem temos tenho ter teu teus tu tua tuas um uma
        umas uns voce voces vos
    """),
    "it": _set("""
        a abbiamo ad agli ai al alla alle allo anche avere aveva bisogno c che chi ci ciao coi col come con cosa cui
        da dagli dai dal dalla dalle dallo degli dei del della delle dello di dove e ed era essere fa fare favore fra
        gli grazie ha hai hanno ho i il in io la le lei li lo loro lui ma mi mia mie miei mio ne negli nei nel nella
        nelle nello noi non nostra nostre nostri nostro o per perche piu po posso possono puo qual quale quali quando
        quanta quante quanti quanto quella quelle quelli quello questa queste questi questo qui sapere sara se sei si
        sia siamo sono sta su sua sue sugli sui sul sulla sulle suo suoi ti tra tu tua tue tuo tuoi tutti tutto un una
        uno va vi voi vorrei vostra vostre vostri vostro
    """),
    "fr": _set("""
        a ai as au aux avec avez avoir avons besoin bonjour c ce cela ces cet cette chez combien comme comment d dans
        de des dois doit donc du elle elles en est et etait etes etre eu existe faire fait faut il ils j je l la le
        les leur leurs lui m ma mais me meme merci mes moi mon n ne ni nos notre nous on ont ou par pas peu peut
        peuvent peux plait plus pour pourquoi puis qu quand que quel quelle quelles quelque quelques quels qui quoi s
        sa sans savoir se sera ses si soit son sont sous suis sur t ta te tes toi ton tous tout toute toutes tu un une
        va veux voir vos votre voudrais vous y
    """),
    "de": _set("""
        aber alle allem allen aller alles als also am an andere anderen auch auf aus bei beim bin bis bist bitte da
        damit danke dann das dass dein deine dem den denn der des dich die dies diese diesem diesen dieser dieses dir
        doch dort du durch ein eine einem einen einer eines er es etwas euch euer eure fur gibt habe haben hallo hat
        hatte hier hin ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in ins ist ja jede jedem jeden jeder jedes kann
        kannst kein keine keinen konnen konnte machen man mehr mein meine meinen meiner mich mir mit mochte muss
        mussen nach nicht noch nun nur ob oder ohne sehr sein seine seit sich sie sind so soll sollen sondern und uns
        unser unsere unter viel viele vom von vor wann war waren warum was welche welchem welchen welcher welches wenn
        wer werden wie wieder will wir wird wissen wo wollen wurde zu zum zur
    """),
}


def of_passage(text: str, language: str) -> list[str]:
    """Return the words under which a passage is stored, in their order."""
    return [form for forms in _forms(text, (language,)) for form in sorted(forms)]


def of_query(query: str, languages: Sequence[str]) -> list[frozenset[str]]:
    """Return the words of a question, each with its forms in these languages, of which the first is the question's.

    Each word is returned once.
    """
    found = dict.fromkeys(_forms(query[:MAX_QUERY_CHARACTERS], tuple(languages)))
    return list(found)[:MAX_QUERY_WORDS]


def language_of(text: str, otherwise: str) -> str:
    """Return the language whose frequent words a text has most, or `otherwise` if it has too few of any."""
    words = [fold_accents(word) for word, is_run in tokens_as_written(text) if not is_run]
    counts = {code: sum(word in stop_words for word in words) for code, stop_words in STOP_WORDS.items()}
    best = max(counts, key=lambda code: (counts[code], code == otherwise))
    return best if counts[best] * 5 >= len(words) and counts[best] >= 3 else otherwise


def _forms(text: str, languages: tuple[str, ...]) -> Iterator[frozenset[str]]:
    """Yield the forms of each word that carries a topic."""
    text = unicodedata.normalize("NFC", text.replace("_", " "))
    for word, is_run in tokens_as_written(text):
        if is_run:
            found = pairs(fold_accents(word))
            topics = [pair for pair in found if not HIRAGANA.search(pair)]
            yield from (frozenset((pair,)) for pair in topics or found)
        elif forms := _forms_of_word(word.casefold(), languages):
            yield forms


@lru_cache(maxsize=CACHED_STEMS)
def _forms_of_word(word: str, languages: tuple[str, ...]) -> frozenset[str]:
    """Return the stems of a word: as written, and as people write who leave out accents. Empty for a stop word."""
    folded = fold_accents(word)
    if folded in STOP_WORDS.get(languages[0], ()):
        return frozenset()
    found: set[str] = set()
    for code in languages:
        stemmer = _stemmer(code)
        found |= {fold_accents(stemmer.stemWord(word)), stemmer.stemWord(folded)} if stemmer else {folded}
    return frozenset(_short(found or {folded}))


def _short(words: Iterable[str]) -> set[str]:
    return {word[:MAX_WORD_CHARACTERS] for word in words if word}


@cache
def _stemmer(language: str) -> snowballstemmer.stemmer | None:
    name = ALGORITHMS.get(language[:2])
    return snowballstemmer.stemmer(name) if name else None
