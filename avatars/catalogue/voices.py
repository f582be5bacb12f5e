"""Voices that the catalogue has for an avatar."""

from __future__ import annotations

from avatars.models import Avatar, Voice


def default_voice(avatar: Avatar) -> Voice | None:
    """The avatar's own voice, where the catalogue knows it."""
    own = avatar.default_provider_voice_id
    return Voice.objects.filter(account=avatar.account_id, provider_voice_id=own).first() if own else None
