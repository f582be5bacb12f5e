"""Static files with a content hash in their names, compressed once.

Browsers cache them without expiry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from posixpath import normpath
from typing import Any

from django.contrib.staticfiles import finders
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.storage import CompressedManifestStaticFilesStorage

from heygen_portal.runtime import file_responses

# Only at the beginning of a line: comments with types contain imports too, some of them circular.
IMPORT_PATTERN = r"""(?m)^(?P<matched>import (?P<names>[^;"']+) from "(?P<url>\.{1,2}/[^"]+)";)"""
# A comment with lines of its own. The source keeps it; browsers need not load it.
COMMENT_PATTERN = r"(?ms)^[ \t]*(?:/\*\*(?:(?!\*/).)*\*/[ \t]*|//[^\n]*)\n"
HASHED_NAME = re.compile(r"\.[0-9a-f]{12}(\.|$)")


class PortalStaticFilesStorage(CompressedManifestStaticFilesStorage):
    """Storage that hashes `url()` in style sheets and relative imports in modules.

    It removes comments and ignores source maps.
    """

    manifest_strict = False  # the admin's theme references files that it does not ship
    max_post_process_passes = 20  # one for each step of the longest import chain
    patterns = (
        CompressedManifestStaticFilesStorage.patterns[0],
        ("*.js", ((COMMENT_PATTERN, ""), (IMPORT_PATTERN, 'import %(names)s from "%(url)s";'))),
    )

    def url_converter(self, name: str, hashed_files: Any, template: str | None = None) -> Any:
        """Return the replacement of a pattern's matches; nothing for an empty template."""
        return super().url_converter(name, hashed_files, template) if template != "" else lambda found: ""

    def compress_files(self, paths: Iterable[str]) -> Any:
        """Compress files with a hash in their name, once: their content never changes."""
        return super().compress_files(
            [path for path in paths if HASHED_NAME.search(path) and not self.exists(f"{path}.gz")]
        )


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """Streams static files.

    Django would read each into memory for every waiting client.
    """

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponseBase:
        if not isinstance(request, ASGIRequest):
            response: HttpResponseBase = WhiteNoiseMiddleware.serve(static_file, request)
            return response
        found = static_file.get_response(request.method, request.META)
        headers, status = dict(found.headers), int(found.status)
        sent: HttpResponseBase
        if found.file:
            sent = StreamingHttpResponse(file_responses.read_chunks(found.file), status=status, headers=headers)
        else:
            sent = HttpResponse(status=status, headers=headers)
        if "Content-Type" not in headers:
            del sent["Content-Type"]
        return sent


@cache
def modules_of(entry: str) -> tuple[str, ...]:
    """Return a module and all modules that it imports, directly or indirectly.

    Return nothing if it does not exist.
    """
    found: dict[str, None] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name not in found and (path := finders.find(name)):
            found[name] = None
            waiting.extend(_imports(name, Path(str(path)).read_text(encoding="utf-8")))
    return tuple(found)


def _imports(name: str, source: str) -> Iterator[str]:
    folder = name.rpartition("/")[0]
    return (normpath(f"{folder}/{found['url']}") for found in re.finditer(IMPORT_PATTERN, source))
