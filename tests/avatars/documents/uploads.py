"""Documents as staff upload them and the worker reads them."""

from __future__ import annotations

import io

from avatars.documents import intake
from avatars.models import Document, DocumentVersion, Library
from heygen_portal.trail.change_log import SERVER


def upload(library: Library, name: str, content: str | bytes) -> Document:
    raw = content.encode() if isinstance(content, str) else content
    version = intake.add_file(library, io.BytesIO(raw), name, SERVER)
    intake.read(version.pk)
    library.refresh_from_db()
    return Document.objects.get(pk=version.document_id)


def replace(document: Document, name: str, content: str) -> DocumentVersion:
    version = intake.replace_file(document, io.BytesIO(content.encode()), name, SERVER)
    intake.read(version.pk)
    return DocumentVersion.objects.get(pk=version.pk)
