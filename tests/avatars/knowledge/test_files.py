"""Knowledge files: front matter, and archives made on different systems."""

from __future__ import annotations

import io
import struct
import unicodedata
import zipfile
from collections.abc import Iterator

import pytest
from django.core.exceptions import ValidationError
from django.utils import translation

from avatars.knowledge import files
from avatars.knowledge.files import KnowledgeText


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    with translation.override("en"):
        yield


def archive_of(*entries: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return packed.getvalue()


def without_utf_8_flag(archive: bytes) -> bytes:
    """Return an archive with UTF-8 names and without the flag that says so."""
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = archive.index(signature) + offset
        [flags] = struct.unpack_from("<H", archive, at)
        archive = archive[:at] + struct.pack("<H", flags & ~0x800) + archive[at + 2 :]
    return archive


def imported(*entries: tuple[str, bytes]) -> files.Imported:
    return files.read_upload(io.BytesIO(archive_of(*entries)), "kb.zip")


def names(*entries: tuple[str, bytes]) -> list[str]:
    return [texts.name for texts in imported(*entries).texts]


def refusal(content: bytes, name: str = "kb.zip") -> str:
    with pytest.raises(ValidationError) as refused:
        files.read_upload(io.BytesIO(content), name)
    return " ".join(refused.value.messages)


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("name: 'Recepción'", ("Recepción", "")),
        ('name: "Recepción" # front desk\nopening: Hola', ("Recepción", "Hola")),
        ("name: Recepción\nopening: >-\n  Hola,\n  ¿qué tal?", ("Recepción", "Hola, ¿qué tal?")),
        ("name: Recepción\nopening: |\n  Hola.\n  ¿Qué tal?", ("Recepción", "Hola.\n¿Qué tal?\n")),
        ("name: No\nopening: 12:30", ("No", "12:30")),
        ("name: 2026-01-02\nopening: ~", ("2026-01-02", "~")),
        ("opening: Hola", ("file", "Hola")),
    ],
)
def test_front_matter_is_yaml_whose_values_are_texts(front: str, expected: tuple[str, str]) -> None:
    found = files.read(f"---\n{front}\n---\nBody".encode(), "file.md")
    assert (found.name, found.opening, found.prompt) == (*expected, "Body")


@pytest.mark.parametrize(
    "text",
    [
        "---\nIntro\nNote: call 5 pm\n---\nBody",
        "---\nNote: call 5 pm\n---\nBody",
        "---\nIntro\n---\nBody",
        "---\n---\nBody",
        "---\nname: never closed\nBody",
        "Title\n---\nname: x\n---\nBody",
    ],
)
def test_text_that_only_looks_like_front_matter_is_kept(text: str) -> None:
    assert files.read(text.encode(), "file.md") == KnowledgeText("file", "", text)


@pytest.mark.parametrize(
    ("front", "words"),
    [
        ("name: Clínica: Recepción", "not valid YAML (line 2)"),
        ("name: Recepción\nopening: 'Hola", "not valid YAML"),
        ("name: x\nopening: " + "[" * 1_000, "not valid YAML"),
        ("name: [a, b]", "field name of a.md must be a text"),
        ("name: *unknown", "not valid YAML"),
        ("name: a\nname: b", "has the field name twice"),
        ("name: x\nrest: " + "y" * 20_000, "too long"),
        ("name: " + "x" * 201, "longer than 200 characters"),
    ],
)
def test_front_matter_that_cannot_be_read_is_refused_with_its_place(front: str, words: str) -> None:
    assert words in refusal(f"---\n{front}\n---\nBody".encode(), "a.md")


def test_fields_that_are_left_out_are_named() -> None:
    found = imported(("a.md", b"---\nname: A\ntags: [x]\nauthor: y\n---\nBody"))
    assert found.notices == [
        "a.md: author, tags was left out. Only name and opening are imported from the front matter."
    ]


@pytest.mark.parametrize(
    "text", ['"quoted": #x', "line\u2028separator", "\x7f\x85\ufeff", "emoji 😀", "- a", "", "\\n"]
)
def test_every_exported_text_is_read_back(text: str) -> None:
    texts = KnowledgeText("Recepción", text, "Body")
    assert files.read(files.as_markdown(texts).encode(), "x.md") == texts


def test_an_archive_made_on_a_mac_is_imported_without_the_files_of_the_system() -> None:
    apple_double = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + bytes(range(256))
    found = imported(
        ("kb/reception.md", b"Open at 9"),
        ("kb/.DS_Store", b"\x00\x00\x00\x01Bud1"),
        ("__MACOSX/kb/._reception.md", apple_double),
        ("__MACOSX/._kb", apple_double),
        ("kb/._reception.md", apple_double),
        ("kb/._notes.md", b"Written by a person"),
    )
    assert [texts.name for texts in found.texts] == ["reception", "._notes"]
    assert found.notices == []


def test_files_that_are_not_markdown_are_named() -> None:
    found = imported(("a.md", b"A"), ("b.docx", b"PK"), ("c.pdf", b"%PDF"))
    assert found.notices == ["2 files are not Markdown and were left out: b.docx, c.pdf"]


def test_equal_file_names_in_different_folders_stay_apart() -> None:
    found = imported(("dental/README.md", b"Teeth"), ("legal/README.md", b"Teeth"), ("other.md", b"Other"))
    assert [texts.name for texts in found.texts] == ["dental/README", "legal/README", "other"]
    assert "dental/README.md was named “dental/README”, because other files have the same name." in found.notices


def test_names_that_differ_only_in_the_encoding_of_accents_are_one() -> None:
    composed, separate = (unicodedata.normalize(form, "Recepción.md") for form in ("NFC", "NFD"))
    assert composed != separate
    assert names((separate, b"Hola")) == [unicodedata.normalize("NFC", "Recepción")]
    found = imported((composed, b"Hola"), (separate, b"Hola"))
    assert [texts.name for texts in found.texts] == ["Recepción"]
    assert found.notices == ["Recepción.md has the same name and text as Recepción.md and was imported once."]
    other_text = refusal(archive_of((composed, b"Hola"), (separate, b"Adios")))
    assert (
        other_text
        == "Several files have the name “Recepción”: Recepción.md, Recepción.md. Give each a name of its own."
    )


def test_files_that_claim_the_same_name_are_refused_rather_than_overwritten() -> None:
    message = refusal(archive_of(("a.md", b"---\nname: X\n---\n1"), ("b.md", b"---\nname: X\n---\n2")))
    assert message == "Several files have the name “X”: a.md, b.md. Give each a name of its own."


@pytest.mark.parametrize("name", ["Recepción.md", "天気.md", "Precios y horarios ñ.md"])
def test_names_in_utf_8_without_the_flag_are_read(name: str) -> None:
    content = without_utf_8_flag(archive_of((name, b"Hola")))
    assert [texts.name for texts in files.read_upload(io.BytesIO(content), "kb.zip").texts] == [name[:-3]]


@pytest.mark.parametrize(("page", "name"), [("cp437", "Recepción"), ("cp850", "Álvaro À"), ("cp850", "Ñandú")])
def test_names_in_a_dos_code_page_are_read(page: str, name: str) -> None:
    as_437 = name.encode(page).decode("cp437")
    marker = "x" * len(as_437)
    content = archive_of((f"{marker}.md", b"Hola")).replace(marker.encode(), name.encode(page))
    assert [texts.name for texts in files.read_upload(io.BytesIO(content), "kb.zip").texts] == [name]


def test_a_damaged_archive_is_refused_wherever_the_damage_is() -> None:
    whole = archive_of(("uno.md", b"Abrimos a las nueve. " * 9), ("dos.md", "Recepción y citas".encode() * 9))
    messages = set()
    for at in range(len(whole)):
        for damage in (b"\xff" * 8, b"\x00" * 8, b"\x5a\xa5" * 4):
            damaged = whole[:at] + damage + whole[at + 8 :]
            try:
                files.read_upload(io.BytesIO(damaged), "kb.zip")
            except ValidationError as exc:
                messages.update(exc.messages)
    assert "uno.md in kb.zip is damaged. Create the archive again." in messages
    assert "kb.zip is damaged or not a zip archive." in messages
    for length in range(len(whole)):
        assert refusal(whole[:length])


def test_refusals_are_in_the_readers_language() -> None:
    whole = archive_of(("uno.md", b"Abrimos a las nueve. " * 9))
    at = whole.index(b"uno.md") + 8
    with translation.override("es"):
        message = refusal(whole[:at] + b"\xff" * 8 + whole[at + 8 :])
    assert message == "uno.md, en kb.zip, está dañado. Vuelve a crear el archivo zip."


def test_all_files_that_have_to_be_corrected_are_named_at_once() -> None:
    message = refusal(archive_of(("a.md", b"\xff\xfe"), ("b.md", b""), ("c.md", b"Fine")))
    assert message == "a.md is not UTF-8 text. b.md has no text below its title."


def test_exported_files_are_named_in_the_script_of_their_names() -> None:
    assert files.file_name(KnowledgeText("Recepción y citas", "", "x")) == "recepcion-y-citas.md"
    assert files.file_name(KnowledgeText("天気予報", "", "x")) == "天気予報.md"
    assert files.file_name(KnowledgeText("!?", "", "x")) == "knowledge.md"
