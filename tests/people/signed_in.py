"""When a test's client signed in."""

from __future__ import annotations

from django.test import Client


def age_login(client: Client, seconds: float = 601) -> None:
    """Let everything by which the client's person proved who they are be older than that."""
    session = client.session
    session["account_authentication_methods"] = [
        record | {"at": record["at"] - seconds} for record in session["account_authentication_methods"]
    ]
    session.save()
