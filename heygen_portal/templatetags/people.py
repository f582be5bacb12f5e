"""Sign-in options of the sign-in page besides a password."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse

from heygen_portal.people.mail import outgoing
from heygen_portal.people.sign_in import directory

register = template.Library()


@register.simple_tag
def single_sign_on() -> dict[str, Any] | None:
    """Return URL and name of single sign-on, or None if it is not configured."""
    app = directory.app()
    return app and {"url": reverse("openid_connect_login", args=[app["provider_id"]]), "name": app["name"]}


@register.simple_tag
def has_mail() -> bool:
    return outgoing.is_set_up()
