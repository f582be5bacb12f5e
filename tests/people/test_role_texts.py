"""Roles are shown in words."""

from __future__ import annotations

import pytest
from django.utils import translation

from heygen_portal.people.access import role_texts, roles
from heygen_portal.people.access.roles import Role


@pytest.mark.parametrize("role", roles.ROLES, ids=lambda role: role.group)
def test_all_permissions_of_a_role_are_described_in_words(role: Role) -> None:
    described = list(role_texts.abilities(role.permissions))
    assert set(described) <= {str(words) for _needed, words in role_texts.ABILITIES}
    assert described


def test_a_permission_that_belongs_to_no_ability_keeps_its_own_label() -> None:
    granted = {"avatar_sessions.view_sessiontotal", "avatars.delete_video", "x.unknown_code"}
    with translation.override("en"):
        shown = list(role_texts.abilities(granted))
    assert shown == ["See costs", "Recorded videos: Can delete", "unknown_code"]
