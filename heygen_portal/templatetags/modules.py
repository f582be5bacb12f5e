"""ES modules without a bundler: the page preloads all imports at once."""

from __future__ import annotations

from django import template
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from heygen_portal.runtime.static_files import modules_of

register = template.Library()


@register.simple_tag
def module(entry: str) -> SafeString:
    """Return the script tag of a module and preload links for everything it imports."""
    preloads = ((static(name),) for name in modules_of(entry) if name != entry)
    script = format_html('<script type="module" src="{}"></script>\n', static(entry))
    return script + format_html_join("\n", '<link rel="modulepreload" href="{}">', preloads)
