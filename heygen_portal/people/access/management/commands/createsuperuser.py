"""Django's command, with an audit entry about the new user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.management.commands import createsuperuser
from django.contrib.auth.models import User, UserManager
from django.db import transaction

from heygen_portal.trail import audit_log

if TYPE_CHECKING:
    Users = UserManager[User]
else:
    Users = UserManager


class _RecordingManager(Users):
    def create_superuser(self, *args: Any, **fields: Any) -> User:
        with transaction.atomic():
            user = super().create_superuser(*args, **fields)
            audit_log.record_access_change(None, user, {})
        return user


class _RecordedUsers:
    """The user model, for a command that creates users through its default manager."""

    def __init__(self) -> None:
        self._default_manager = _RecordingManager()
        self._default_manager.model = User

    def __getattr__(self, name: str) -> Any:
        return getattr(User, name)

    def __call__(self, **fields: Any) -> User:
        return User(**fields)


class Command(createsuperuser.Command):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not a transaction around the whole command: it asks questions and would hold SQLite's lock meanwhile.
        self.UserModel: Any = _RecordedUsers()
