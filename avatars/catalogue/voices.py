"""Voices of an avatar."""

from __future__ import annotations

from avatars.models import Avatar, Voice


def default_voice(avatar: Avatar) -> Voice | None:
    """Return the avatar's default voice if the catalogue has it."""
    own = avatar.default_provider_voice_id
    return Voice.objects.filter(account=avatar.account_id, provider_voice_id=own).first() if own else None
