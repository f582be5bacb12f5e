"""Every address of the portal, and who may use it."""

from __future__ import annotations

import re
from functools import cache

from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.access.matrix import BUTTONS, MODELS, NO_ROLE, PAGES, STAFF, Page
from tests.access.rows import Rows

PARTS = ("changelist", "add", "history", "delete", "change")


@cache
def addresses() -> dict[str, set[str]]:
    """Return the argument names of every address.

    The key is the address's name or, without a name, its route.
    """
    found: dict[str, set[str]] = {}

    def walk(resolver: URLResolver, route: str, spaces: str, names: set[str]) -> None:
        for pattern in resolver.url_patterns:
            here = names | set(pattern.pattern.regex.groupindex)
            path = route + str(pattern.pattern)
            if path == "api/v1/":
                continue  # with a key only: test_api_matrix.py
            if isinstance(pattern, URLResolver):
                space = f"{spaces}{pattern.namespace}:" if pattern.namespace else spaces
                walk(pattern, path, space, here)
            elif isinstance(pattern, URLPattern):
                found[f"{spaces}{pattern.name}" if pattern.name else path] = here

    walk(get_resolver(), "", "", set())
    return found


def expected() -> dict[str, tuple[str, Page]]:
    """Return for each line of the matrix the name of its address and who may use it."""
    entries: dict[str, tuple[str, Page]] = {}
    for model, (see, add, change, delete) in MODELS.items():
        stem = f"admin:{model.replace('.', '_')}"
        parts = zip(PARTS, (see, add, change, delete, see), strict=True)
        entries |= {f"{stem}_{part}": (f"{stem}_{part}", Page(who)) for part, who in parts}
        entries[f"{stem}_change · post"] = (f"{stem}_change", Page(change, "post"))
        old = f"admin/{model.replace('.', '/')}/<path:object_id>/"
        entries[old] = (old, Page(STAFF))  # an address of old: it leads to the row's own
    for button, who in BUTTONS.items():
        name = f"admin:{button.replace('.', '_')}"
        entries[name] = (name, Page(who))
    for line, page in PAGES.items():  # last, because these lines override the ones above
        entries[line] = (line.partition(" · ")[0], page if isinstance(page, Page) else Page(page))
    entries["admin/(?P<url>.*)$"] = ("admin/(?P<url>.*)$", Page(NO_ROLE))
    return entries


def path_of(name: str, page: Page, rows: Rows) -> str:
    """Return the path of an address, with the rows in it."""
    button = re.match(r"admin:(?:[a-z_]+?)_", name)
    model = next((each for each in rows.models if button and name.startswith(f"admin:{each.replace('.', '_')}_")), "")
    if "<path:object_id>" in name:
        model = ".".join(name.split("/")[1:3])
        return f"/{name.replace('<path:object_id>', str(rows.of(model)))}"
    if name.startswith("admin/(?P"):
        return "/admin/no-such-page/"
    args = rows.args(addresses()[name], model) | page.args
    return reverse(name, kwargs={key: rows.another.pk if value == "another" else value for key, value in args.items()})
