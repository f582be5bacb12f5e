"""Let a provider call the brain: a token for one session, and the provider's custom model that holds it.

Both are made before the user presses Start where possible, and removed by the worker after the session.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from avatars.models import ProviderAccount
from avatars.models.personas import brain_url
from heygen_portal import providers
from heygen_portal.postgresql import clock
from heygen_portal.providers.contract.provider import CustomModel, ProviderError
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import due_rows, each_row
from sessions.models import BrainAccess, Status, StreamingSession

logger = logging.getLogger(__name__)

MODEL = "brain"  # the model's name on our endpoint
PREFIX = "hpb"
TOKEN_BYTES = 32
PREPARED_LIFETIME = timedelta(minutes=10)
# One that is about to be removed is not handed out.
MARGIN = timedelta(seconds=30)
# Of one account: many pages may be open without a session.
MAX_PREPARED = 5
REMOVED_PER_RUN = 200
RETRY_INTERVAL = timedelta(minutes=1)
NO_HASH = "0" * 64


async def prepare(account: ProviderAccount) -> None:
    """Make an access for the next session of this account, unless enough are waiting. Failures are only logged."""
    if await in_thread(_count_prepared)(account) >= MAX_PREPARED:
        return
    try:
        await _make(account)
    except ProviderError as exc:
        logger.warning("no access to the brain could be prepared: %s", type(exc).__name__)


async def assign(session: StreamingSession) -> str:
    """Give a session its access, a prepared one if there is one. Return the provider's ID. Raises ProviderError."""
    return await in_thread(_take_prepared)(session) or await _make(session.account, session)


async def _make(account: ProviderAccount, session: StreamingSession | None = None) -> str:
    access, token = await in_thread(_store)(account, session)
    model = CustomModel(access.name, MODEL, brain_url(), token)
    try:
        custom_model_id = await providers.for_account(account).add_custom_model(model)
    except BaseException:
        await in_thread(_remove_soon)(access)
        raise
    await in_thread(_complete)(access, custom_model_id)
    return custom_model_id


def session_of(token: str) -> StreamingSession | None:
    """Return the running session that a token is good for. Takes as long for a wrong secret as for a right one."""
    prefix, _, rest = token.partition("_")
    name, _, _secret = rest.partition("_")
    access = None
    if prefix == PREFIX and (key := _uuid(name)):
        access = BrainAccess.objects.select_related("session__account").filter(pk=key).first()
    is_right = hmac.compare_digest(access.token_hash if access else NO_HASH, _hash(token))
    session = access.session if access and is_right else None
    return session if session and session.status in (Status.CONNECTING, Status.LIVE) else None


def has_due(now: datetime) -> bool:
    return _due(now).exists()


async def remove_due(now: datetime) -> None:
    """Have providers remove what no session uses any more. Rows are kept until a provider has confirmed that."""
    for account, rows in (await in_thread(_claim_due)(now)).items():
        with each_row.log_failure(f"account {account.pk}: accesses to the brain could not be removed"):
            try:
                await providers.for_account(account).remove_custom_models({row.name for row in rows})
            except ProviderError as exc:
                logger.warning("account %s: accesses were not removed: %s", account.pk, type(exc).__name__)
            else:
                await in_thread(_forget)(rows)


def _count_prepared(account: ProviderAccount) -> int:
    return BrainAccess.objects.filter(account=account, session=None).count()


def _store(account: ProviderAccount, session: StreamingSession | None) -> tuple[BrainAccess, str]:
    access = BrainAccess(account=account, session=session)
    access.due_at = None if session else clock.now() + PREPARED_LIFETIME
    token = f"{PREFIX}_{access.pk.hex}_{secrets.token_urlsafe(TOKEN_BYTES)}"
    access.token_hash = _hash(token)
    access.save(force_insert=True)
    return access, token


def _complete(access: BrainAccess, custom_model_id: str) -> None:
    BrainAccess.objects.filter(pk=access.pk).update(custom_model_id=custom_model_id)


def _remove_soon(access: BrainAccess) -> None:
    """Have the worker remove what the provider may have stored."""
    BrainAccess.objects.filter(pk=access.pk).update(due_at=clock.now())


def _take_prepared(session: StreamingSession) -> str | None:
    with transaction.atomic():
        rows = BrainAccess.objects.filter(account=session.account_id, session=None, due_at__gt=clock.now() + MARGIN)
        rows = rows.exclude(custom_model_id="").order_by("due_at").select_for_update(skip_locked=True)
        access = rows.first()
        if access is None:
            return None
        access.session, access.due_at = session, None
        access.save(update_fields=["session", "due_at"])
        return access.custom_model_id


def _due(now: datetime) -> QuerySet[BrainAccess]:
    is_over = Q(session__status=Status.ENDED, due_at=None)
    return BrainAccess.objects.filter(Q(due_at__lte=now) | is_over)


def _claim_due(now: datetime) -> dict[ProviderAccount, list[BrainAccess]]:
    """Claim what is to be removed until the next attempt. From now on no session can take it."""
    claimed = due_rows.claim(
        _due(now).order_by("due_at"), REMOVED_PER_RUN, due_at=now + RETRY_INTERVAL, custom_model_id=""
    )
    accounts = ProviderAccount.objects.in_bulk([row.account_id for row in claimed])
    found: defaultdict[ProviderAccount, list[BrainAccess]] = defaultdict(list)
    for row in claimed:
        found[accounts[row.account_id]].append(row)
    return found


def _forget(rows: Sequence[BrainAccess]) -> None:
    BrainAccess.objects.filter(pk__in=[row.pk for row in rows]).delete()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _uuid(name: str) -> UUID | None:
    try:
        return UUID(hex=name)
    except ValueError:
        return None
