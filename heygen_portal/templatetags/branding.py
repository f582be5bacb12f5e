"""The brand in templates, also in those that are rendered without a request."""

from __future__ import annotations

from django import template

from heygen_portal.branding.current import Brand, current

register = template.Library()


@register.simple_tag
def brand() -> Brand:
    return current()
