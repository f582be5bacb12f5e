"""What answers by the organisation's own model may still use: tokens per session and day, and the account's cap."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import F, QuerySet, Sum

from avatars.models import PersonaVersion, ProviderAccount
from heygen_portal.providers.openai.messages import Usage
from sessions.capacity import quotas
from sessions.models import Answer, DayTotal, StreamingSession

# Codes of the limit that an answer has reached.
SESSION_TOKENS, DAY_TOKENS, SPEND_CAP = "session_tokens", "day_tokens", "spend_cap"


@dataclass(frozen=True)
class ModelLimits:
    """What is left; None without a limit."""

    session_tokens: int | None = None
    day_tokens: int | None = None
    credits: Decimal | None = None

    def reached_with(self, usage: Usage, cost: Decimal) -> str:
        """Return the code of a limit that is reached by using so much, or an empty string."""
        tokens = usage.prompt_tokens + usage.completion_tokens
        if self.credits is not None and cost >= self.credits:
            return SPEND_CAP
        if self.session_tokens is not None and tokens >= self.session_tokens:
            return SESSION_TOKENS
        return DAY_TOKENS if self.day_tokens is not None and tokens >= self.day_tokens else ""


def limits_of(session: StreamingSession, version: PersonaVersion, now: datetime) -> ModelLimits:
    """Return what the session's next answer may use. One query for each limit that is set, two for a day's."""
    account = session.account
    of_session = of_day = credits_left = None
    if version.session_tokens is not None:
        of_session = version.session_tokens - _used(Answer.objects.filter(session=session))
    if version.day_tokens is not None:
        of_day = version.day_tokens - _used_on_day_of(session)
    if account.monthly_cap is not None:
        credits_left = left_for_models(account, now, session)
    return ModelLimits(of_session, of_day, credits_left)


def left_for_models(account: ProviderAccount, now: datetime, session: StreamingSession | None = None) -> Decimal | None:
    """Return the credits that models may still cost this month; None without a cap. Raises SpendingUnknown.

    The time of running sessions is promised to them. Answers of a session may use what that session is promised.
    """
    if account.monthly_cap is None:
        return None
    spending = quotas.spending(account, now)
    promised = spending.promised
    if session is not None and session.ended_at is None:
        promised -= quotas.credits_for(account, session.ends_at - now)
    return account.monthly_cap - spending.spent - max(promised, Decimal(0))


def _used_on_day_of(session: StreamingSession) -> int:
    """Return the tokens of the persona's sessions of one day, booked or not."""
    since = quotas.day_of(session.created_at)
    booked = DayTotal.objects.filter(persona=session.persona_id, day=since.date())
    running = Answer.objects.filter(
        session__persona=session.persona_id, session__booked_at=None, session__created_at__gte=since
    )
    return (booked.aggregate(tokens=Sum("model_tokens"))["tokens"] or 0) + _used(running)


def _used(answers: QuerySet[Answer]) -> int:
    tokens: int | None = answers.aggregate(tokens=Sum(F("prompt_tokens") + F("completion_tokens")))["tokens"]
    return tokens or 0
