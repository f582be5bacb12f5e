from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from heygen_portal.emulator.sessions.interfaces import Voice
from heygen_portal.emulator.speech.mouth_shapes import MOUTHS, SHUT
from heygen_portal.emulator.speech.synthesis import EMOTIONS, SAMPLE_RATE, Speech, speak

SENTENCES = [
    "Hola ¿cómo estás?",
    "  Son 1.234 euros — ¡qué bien! \n",
    "Yes.",
    "…",
    "😀",
    "naïve café, 50 % off; see https://example.org/a?b=c",
    "<b>not markup</b> [[not phonemes]]",
    "a\0b",
    "\ud800 half a pair",
    "",
]


@pytest.mark.parametrize("text", SENTENCES)
@pytest.mark.parametrize("language", ["es", "en"])
def test_timed_words_join_to_the_text_and_are_in_order(text: str, language: str) -> None:
    speech = speak(text, Voice(language))
    assert "".join(piece for _, piece in speech.timed_words) == text
    times = [at for at, _ in speech.timed_words]
    assert times == sorted(times)
    assert all(0 <= at <= speech.seconds for at in times)


def test_each_word_is_timed_when_it_is_heard() -> None:
    """The second sentence's caption must wait for the pause after the first."""
    speech = speak("One. Two.", Voice("en"))
    (_, (second, word)) = speech.timed_words
    samples = np.abs(np.frombuffer(speech.pcm, np.int16).astype(np.int32))
    begin = int(second * SAMPLE_RATE)
    assert word == "Two."
    assert samples[begin - SAMPLE_RATE // 10 : begin].max() < samples[begin : begin + SAMPLE_RATE // 5].max() / 10


def test_the_mouth_closes_for_p_b_m_and_opens_for_a() -> None:
    shapes = [shape for _, shape in speak("mama papa", Voice("es")).shapes]
    assert shapes.count("pp") == 4
    assert shapes.count("aa") >= 3
    assert shapes[-1] == SHUT
    assert set(shapes) <= set(MOUTHS)


def test_mouth_shapes_are_in_order_and_open_gradually() -> None:
    shapes = speak("Bienvenida a la clínica. Papá y mamá abren a las ocho.", Voice("es")).shapes
    times = [at for at, _ in shapes]
    assert times == sorted(times)
    assert not [pair for pair in pairwise(shape for _, shape in shapes) if pair in {("sil", "aa"), ("pp", "aa")}]


def test_a_faster_rate_gives_shorter_speech() -> None:
    fast, usual, slow = (speak("This takes a while to say.", Voice("en", rate=rate)).seconds for rate in (1.5, 1, 0.5))
    assert fast < usual * 0.8
    assert slow > usual * 1.4


def test_every_emotion_sounds_different() -> None:
    by_emotion = {emotion: speak("This is how I feel.", Voice("en", emotion=emotion)) for emotion in EMOTIONS}
    assert len({speech.pcm for speech in by_emotion.values()}) == len(EMOTIONS)
    assert _loudness(by_emotion["soothing"]) < _loudness(by_emotion["excited"])
    assert by_emotion["soothing"].seconds > by_emotion["excited"].seconds


def _loudness(speech: Speech) -> float:
    return float(np.sqrt(np.mean(np.frombuffer(speech.pcm, np.int16).astype(float) ** 2)))


def test_languages_and_voices_sound_different() -> None:
    voices = [Voice("es"), Voice("en"), Voice("en", 60, "f3"), Voice("en", 40, "m1")]
    assert len({speak("No.", voice).pcm for voice in voices}) == len(voices)


def test_an_unknown_language_or_variant_is_still_spoken() -> None:
    assert speak("Hello", Voice("tlh", variant="nobody")).seconds > 0.3
