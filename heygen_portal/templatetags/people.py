"""What the page of signing in offers beside a password."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse

from heygen_portal.people.mail import outgoing
from heygen_portal.people.sign_in import directory

register = template.Library()


@register.simple_tag
def single_sign_on() -> dict[str, Any] | None:
    """Where the way to the organisation's directory begins, if one is set up."""
    app = directory.app()
    return app and {"url": reverse("openid_connect_login", args=[app["provider_id"]]), "name": app["name"]}


@register.simple_tag
def has_mail() -> bool:
    return outgoing.is_set_up()
