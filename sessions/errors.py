"""Refusals that can be explained to the user.

`code` is stable and for programs. `words` are for people, in the language that is active when they are read.
docs/websocket-protocol.md lists the codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.conf import settings
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from heygen_portal.runtime import refusals


class SessionError(Exception):
    """A refusal that changed nothing."""

    code: ClassVar[str]
    words: ClassVar[str | Promise]

    def __init__(self, details: Mapping[str, Any] | None = None) -> None:
        """`details` are sent to the page together with code and words."""
        super().__init__()
        self.details = dict(details or {})

    def __str__(self) -> str:
        return str(self.words)


class AccessLost(SessionError):
    """The user may no longer use this socket, which is closed with `close_code`."""

    close_code: ClassVar[int]


class SignedOut(AccessLost):
    code, close_code = "signed_out", 4401
    words = _("You have been signed out. Sign in again to continue.")


class AccessEnded(AccessLost):
    code, close_code = "access_ended", 4403
    words = _("Your account no longer has access. If you think this is a mistake, ask the team.")


class SecondFactorNeeded(AccessLost):
    code, close_code = "second_factor_needed", 4428
    words = _("Set up a second factor to continue.")


class GuestAccessEnded(AccessLost):
    code, close_code = "access_ended", 4403
    words = _("This conversation is no longer offered here.")


class GuestRefused(AccessLost):
    """A guest's page is not let in."""

    close_code = 4403


class OriginRefused(GuestRefused):
    code = "origin_refused"
    words = _("This site is not allowed to show this conversation.")


class LinkUnusable(GuestRefused):
    code = "link_unusable"
    words = _("This link has expired or was withdrawn.")


class TokenInvalid(GuestRefused):
    code = "token_invalid"
    words = _("The access of this page is not valid. Reload the page.")


class TokenExpired(GuestRefused):
    code = "token_expired"
    words = _("The access of this page has expired. Reload the page.")


class TokenUsed(GuestRefused):
    code = "token_used"
    words = _("The access of this page was already used. Reload the page.")


class VisitOver(SessionError):
    code = "visit_over"
    words = TokenExpired.words


class ChallengeNeeded(SessionError):
    code = "challenge_needed"
    words = _("Your browser is asked to prove that you are not an automated guest.")


class BadMessage(SessionError):
    code = "bad_message"
    words = _("This message was not understood.")


class TooLarge(SessionError):
    code = "too_large"
    words = _("This message is too large.")


class NoSession(SessionError):
    code = "no_session"
    words = _("The session has not been created yet.")


class AlreadyStarted(SessionError):
    code = "already_started"
    words = _("The conversation has already started.")


class SessionRunning(SessionError):
    code = "session_running"
    words = _("You already have another conversation open.")


class ConsentNeeded(SessionError):
    code = "consent_needed"
    words = _("Read the notice and accept it before you start.")


class NotReleased(SessionError):
    code = "not_released"
    words = _("Your other conversation is still closing. Try again in a moment.")


class QuotaUsed(SessionError):
    code = "quota_used"
    words = format_lazy(
        _("You have used up your time for this month. Months are counted in the time zone {zone}."),
        zone=settings.TIME_ZONE.replace("_", " "),
    )


class SpendCap(SessionError):
    code = "spend_cap"
    words = _("The service has reached its spending limit for this month.")


class GuestLimit(SessionError):
    code = "guest_limit"
    words = _("You have had as many conversations as guests may have in one day. Come back tomorrow.")


class GuestsPaused(SessionError):
    code = "guests_paused"
    words = _("Guests cannot start another conversation here today. Come back tomorrow.")


class AgeNeeded(SessionError):
    code = "age_needed"
    words = _("Confirm your age, or that a parent or guardian agrees.")


class QueueFull(SessionError):
    code = "queue_full"
    words = _("All slots are taken and the queue is full. Try again later.")


class QueueLost(SessionError):
    code = "queue_lost"
    words = _("You have lost your position in the queue. Press Start to join it again.")


class NotFound(SessionError):
    code = "not_found"
    words = _("This conversation does not exist.")


class TimeIsUp(SessionError):
    code = "time_is_up"
    words = _("Time is up")


class NotLive(SessionError):
    code = "not_live"
    words = _("The avatar is not in the room.")


class NotOffered(SessionError):
    code = "not_offered"
    words = _("This is not offered here.")


class AddressInvalid(SessionError):
    code = "address_invalid"
    words = _("Enter an e-mail address like name@example.com.")


class TextEmpty(SessionError):
    code = "text_empty"
    words = _("Write something first.")


class TextTooLong(SessionError):
    code = "text_too_long"
    words = _("The text is longer than 2,000 characters.")


class ReadsAloudOff(SessionError):
    code = "reads_aloud_off"
    words = _("Texts are not read aloud here.")


class TooManyTasks(SessionError):
    code = "too_many_tasks"
    words = _("Too many messages at once. Wait until the avatar has received them.")


class TooManyRequests(SessionError):
    code = "too_many_requests"
    words = _("Too many requests")

    def __init__(self, wait_seconds: int, about: str) -> None:
        """`about` is the type of the message that was refused."""
        super().__init__({"wait_seconds": wait_seconds, "about": about})
        self.wait_seconds = wait_seconds

    def __str__(self) -> str:
        return refusals.full_message(self.wait_seconds)


class ProviderLimit(SessionError):
    code = "provider_limit"
    words = _("All slots are taken. Try again in a moment.")


class ProviderRefused(SessionError):
    code = "provider_refused"
    words = _("The avatar service refused the request.")


class ProviderSilent(SessionError):
    code = "provider_unreachable"
    words = _("The avatar service is not responding.")


class NotPublished(SessionError):
    code = "not_published"
    words = _("Your browser could not pass it on to the avatar. Check your connection and try again.")


class RejoinRefused(SessionError):
    code = "rejoin_refused"
    words = _("Access to this room cannot be renewed.")


class ReasonNeeded(SessionError):
    code = "reason_needed"
    words = _("Enter a short reason.")


class PortalUnavailable(SessionError):
    code = "unwell"
    words = _("The portal is not available. This page keeps trying.")


class StorageAway(SessionError):
    code = "storage_away"
    words = _("The portal cannot reach its database at the moment. Try again in a few seconds.")


class Internal(SessionError):
    code = "internal"
    words = _("Something went wrong on our side. Try again.")


# Reasons why a stored task did not reach the avatar.
FAILURES: tuple[type[SessionError], ...] = (ProviderLimit, ProviderRefused, ProviderSilent, NotPublished, NotLive)


def failure_words(code: str) -> str:
    """Return the text of one of `FAILURES` in the active language."""
    return str({error.code: error.words for error in FAILURES}[code])
