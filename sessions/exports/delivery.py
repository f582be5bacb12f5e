"""How the file of an export is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sessions.models import Export

Format = Export.Format
CONTENT_TYPES: Mapping[Export.Format, str] = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.CSV_SEMICOLONS: "text/csv; charset=utf-8",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Format.JSONL: "application/jsonl; charset=utf-8",
    Format.JSON: "application/json",
    Format.VTT: "text/vtt; charset=utf-8",
}
CHUNK_BYTES = 64 * 1024


def chunks(export: Export) -> Iterator[bytes]:
    """Yield the file of an export in pieces."""
    with export.path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
