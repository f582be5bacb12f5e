"""Age of a test client's sign-in."""

from __future__ import annotations

from django.test import Client


def age_login(client: Client, seconds: float = 601) -> None:
    """Make all proofs of identity in the client's session older by `seconds`."""
    session = client.session
    session["account_authentication_methods"] = [
        record | {"at": record["at"] - seconds} for record in session["account_authentication_methods"]
    ]
    session.save()
