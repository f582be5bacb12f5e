"""Operations on costs, quotas and exports."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from kombu.exceptions import OperationalError as BrokerError
from ninja import Field, Path, Query, Schema
from ninja.responses import Status as Answer
from pydantic import ConfigDict, StringConstraints

from avatars.models import Persona
from heygen_portal.people.api_keys.callers import Caller
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.rest import pages, problems
from heygen_portal.rest.operations import ApiRequest, Operations
from heygen_portal.rest.pages import Page, PageQuery
from heygen_portal.rest.problems import Problem
from heygen_portal.rest.schemas import Input, Key
from heygen_portal.runtime import budgets
from heygen_portal.runtime.in_thread import in_thread, iterate_in_thread
from sessions import tasks
from sessions.actions import staff_reasons
from sessions.api.schemas import REASON_PATTERN, OptionalReason, Slug, StatusName
from sessions.capacity import quotas
from sessions.costs import report
from sessions.exports import list_export
from sessions.exports.delivery import CONTENT_TYPES, chunks
from sessions.models import Export, Quota, SessionTotal

costs = Operations("Costs")
quota = Operations("Quotas")
exports = Operations("Exports")
Month = Annotated[str, StringConstraints(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")]


class SumsOut(Schema):
    """The sums of a group of sessions."""

    name: str
    sessions: int
    seconds: float
    unattended_seconds: float
    credits: float

    @classmethod
    def of(cls, sums: report.Sums) -> SumsOut:
        return cls(
            name=sums.name,
            sessions=sums.sessions,
            seconds=sums.time.total_seconds(),
            unattended_seconds=sums.wasted.total_seconds(),
            credits=float(sums.credits),
        )


class CostsOut(Schema):
    """The costs of a month, as the portal estimates them."""

    month: str
    total: SumsOut
    days: list[SumsOut]
    personas: list[SumsOut]
    accounts: list[SumsOut]
    not_booked: int = Field(description="Sessions that have ended and are not in the sums yet.")


class SessionCostOut(Schema):
    """The cost of one session that has ended."""

    session_id: UUID
    seconds: float
    credits: float
    model_credits: float = Field(description="Of answers by the organisation’s own model, beside `credits`.")
    model_tokens: int
    provider_credits: float | None = Field(description="According to the provider; null until it reports.")


@costs.get("/costs/{month}", scopes=(Scope.COSTS_READ,), response=CostsOut)
async def get_costs(request: ApiRequest, month: Path[Month]) -> CostsOut:
    """Return the costs of a month, in the portal's time zone, such as `2026-11`."""
    return await in_thread(_costs)(month)


def _costs(name: str) -> CostsOut:
    month = report.Month.parse(name, timezone.now())
    found = report.report(month)
    return CostsOut(
        month=month.name,
        total=SumsOut.of(found.total),
        days=[SumsOut.of(sums) for sums in found.days],
        personas=[SumsOut.of(sums) for sums in found.personas],
        accounts=[SumsOut.of(sums) for sums in found.accounts],
        not_booked=found.not_booked,
    )


@costs.get("/sessions/{uuid:session_id}/cost", scopes=(Scope.COSTS_READ,), response=SessionCostOut)
async def get_session_cost(request: ApiRequest, session_id: UUID) -> SessionCostOut:
    """Return the cost of any session, once it has ended and was added to the totals."""
    return await in_thread(_session_cost)(session_id)


def _session_cost(session_id: UUID) -> SessionCostOut:
    total = SessionTotal.objects.filter(pk=session_id).first()
    if total is None:
        raise problems.not_found()
    billed = total.provider_credits
    return SessionCostOut(
        session_id=session_id,
        seconds=total.time.total_seconds(),
        credits=float(total.estimated),
        model_credits=float(total.model_credits),
        model_tokens=total.model_tokens,
        provider_credits=None if billed is None else float(billed),
    )


# Quotas


class OwnQuota(Schema):
    """The time of the key's owner in this month."""

    used_seconds: float
    quota_seconds: float | None = Field(description="null without a quota.")


class QuotaOut(Schema):
    """Limits of one user, or of each member of a group. null limits nothing."""

    id: int
    user: int | None
    group: int | None
    duration_limit_seconds: float | None
    idle_timeout_seconds: float | None
    minutes_per_month: int | None

    @classmethod
    def of(cls, row: Quota) -> QuotaOut:
        return cls(
            id=row.pk,
            user=row.user_id,
            group=row.group_id,
            duration_limit_seconds=row.duration_limit.total_seconds() if row.duration_limit else None,
            idle_timeout_seconds=row.idle_timeout.total_seconds() if row.idle_timeout else None,
            minutes_per_month=row.minutes_per_month,
        )


Seconds = Annotated[int, Field(ge=1, le=31_536_000)]


class QuotaLimits(Input):
    """The limits of a quota."""

    duration_limit_seconds: Seconds | None = None
    idle_timeout_seconds: Seconds | None = None
    minutes_per_month: Annotated[int, Field(ge=0, le=1_000_000)] | None = None


class NewQuota(QuotaLimits):
    """A quota of a user or a group, not of both."""

    user: Key | None = None
    group: Key | None = None


@quota.get("/quota", scopes=(Scope.SESSIONS_READ,), response=OwnQuota)
async def get_own_quota(request: ApiRequest) -> OwnQuota:
    """Return how much time the key's owner has used this month, and may use."""
    return await in_thread(_own_quota)(request.caller)


def _own_quota(caller: Caller) -> OwnQuota:
    limit = quotas.monthly_quota(caller.user_id)
    used = quotas.used_by(caller.user_id, timezone.now())
    return OwnQuota(used_seconds=used.total_seconds(), quota_seconds=limit.total_seconds() if limit else None)


@quota.get("/quotas", scopes=(Scope.QUOTAS_READ,), response=Page[QuotaOut])
async def list_quotas(request: ApiRequest, query: Query[PageQuery]) -> Page[QuotaOut]:
    """List the quotas of users and groups."""
    return await in_thread(_quotas)(query)


def _quotas(query: PageQuery) -> Page[QuotaOut]:
    found, next_cursor = pages.read(Quota.objects.all(), query, by="pk", newest_first=False)
    return Page(items=[QuotaOut.of(row) for row in found], next_cursor=next_cursor)


@quota.post("/quotas", scopes=(Scope.QUOTAS_WRITE,), response={201: QuotaOut})
async def create_quota(request: ApiRequest, body: NewQuota) -> Answer[QuotaOut]:
    """Set the quota of a user or a group that has none."""
    await _spend_staff_action(request.caller)
    return Answer(201, await in_thread(_create_quota)(request.caller, body))


@transaction.atomic
def _create_quota(caller: Caller, body: NewQuota) -> QuotaOut:
    row = Quota(user_id=body.user, group_id=body.group, **_limits(body))
    _save_quota(caller, None, row)
    return QuotaOut.of(row)


@quota.put("/quotas/{quota_id}", scopes=(Scope.QUOTAS_WRITE,), response=QuotaOut)
async def change_quota(request: ApiRequest, quota_id: Path[Key], body: QuotaLimits) -> QuotaOut:
    """Replace the limits of a quota."""
    await _spend_staff_action(request.caller)
    return await in_thread(_change_quota)(request.caller, quota_id, body)


@transaction.atomic
def _change_quota(caller: Caller, quota_id: int, body: QuotaLimits) -> QuotaOut:
    row = _locked_quota(quota_id)
    before = Quota.objects.get(pk=row.pk)
    for name, value in _limits(body).items():
        setattr(row, name, value)
    _save_quota(caller, before, row)
    return QuotaOut.of(row)


@quota.delete("/quotas/{quota_id}", scopes=(Scope.QUOTAS_WRITE,), response={204: None})
async def delete_quota(request: ApiRequest, quota_id: Path[Key]) -> Answer[None]:
    """Delete a quota."""
    await _spend_staff_action(request.caller)
    await in_thread(_delete_quota)(request.caller, quota_id)
    return Answer(204, None)


@transaction.atomic
def _delete_quota(caller: Caller, quota_id: int) -> None:
    row = _locked_quota(quota_id)
    quotas.record_change(caller.actor, row, None)
    row.delete()


def _locked_quota(quota_id: int) -> Quota:
    row = Quota.objects.select_for_update().filter(pk=quota_id).first()
    if row is None:
        raise problems.not_found()
    return row


def _limits(body: QuotaLimits) -> dict[str, Any]:
    def span(seconds: int | None) -> timedelta | None:
        return None if seconds is None else timedelta(seconds=seconds)

    return {
        "duration_limit": span(body.duration_limit_seconds),
        "idle_timeout": span(body.idle_timeout_seconds),
        "minutes_per_month": body.minutes_per_month,
    }


def _save_quota(caller: Caller, before: Quota | None, row: Quota) -> None:
    """Validate a quota as the admin's form does, and store it on record."""
    try:
        row.full_clean()
    except ValidationError as exc:
        raise Problem(409, "quota_refused", _("This quota is not possible."), detail=" ".join(exc.messages)) from exc
    row.save()
    quotas.record_change(caller.actor, before, row)


async def _spend_staff_action(caller: Caller) -> None:
    await budgets.spend("staff_action", person=caller.user_id, address=caller.address)


# Exports


class NewExport(Input):
    """An export of the sessions that match, written to a file by the worker."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"required": ["what"], "properties": {"what": {"const": "lines"}}},
            "then": {"required": ["reason"], "properties": {"reason": {"pattern": REASON_PATTERN}}},
        }
    )

    what: Literal["sessions", "events", "lines"] = Field(description="`lines` are transcripts, and need a reason.")
    format: Literal["csv", "csv2", "jsonl", "xlsx"] = "csv"
    reason: OptionalReason = ""
    status: StatusName | None = None
    year: Annotated[int, Field(ge=2000, le=2100)] | None = Field(None, description="Of the sessions' start.")
    month: Annotated[int, Field(ge=1, le=12)] | None = None
    persona: Slug | None = None


class ExportOut(Schema):
    """An export, and how far it is."""

    id: UUID
    what: str
    format: str
    state: str = Field(description="`ready` once its file can be fetched.")
    requested_at: datetime
    rows_done: int
    rows_total: int | None
    expires_at: datetime | None

    @classmethod
    def of(cls, row: Export) -> ExportOut:
        return cls(
            id=row.pk,
            what=row.what,
            format=row.format,
            state=row.state,
            requested_at=row.asked_at,
            rows_done=row.rows_done,
            rows_total=row.rows_total,
            expires_at=row.expires_at,
        )


@exports.post("/exports", scopes=(Scope.RECORDS_EXPORT,), response={201: ExportOut})
async def create_export(request: ApiRequest, body: NewExport) -> Answer[ExportOut]:
    """Order an export. It is recorded with the key's owner, the address, its filters and its size.

    Transcripts need a reason. Fetch the file once `state` is `ready`.
    """
    caller = request.caller
    await budgets.spend("export", person=caller.user_id, address=caller.address)
    reason = staff_reasons.checked(body.reason) if body.reason or body.what == "lines" else ""
    export = await in_thread(_request_export)(caller, body, reason)
    with suppress(BrokerError):  # the worker looks for exports whose task was lost
        await in_thread(tasks.write_export.delay)(str(export.id))
    return Answer(201, export)


def _request_export(caller: Caller, body: NewExport, reason: str) -> ExportOut:
    wanted = {"status__exact": body.status, "created_at__year": body.year, "created_at__month": body.month}
    filters = {name: str(value) for name, value in wanted.items() if value is not None}
    filters |= _persona_filter(body.persona) if body.persona else {}
    try:
        export = list_export.request_export(
            caller.user_id, caller.address, body.what, body.format, reason=reason, filters=filters, as_file=True
        )
    except list_export.TooManyRows as exc:
        raise Problem(409, "too_many_rows", _("These are too many rows for an Excel file.")) from exc
    return ExportOut.of(export)


def _persona_filter(slug: str) -> Mapping[str, str]:
    persona = Persona.objects.filter(slug=slug).first()
    if persona is None:
        raise problems.not_found()
    return {"persona__id__exact": str(persona.pk)}


@exports.get("/exports/{uuid:export_id}", scopes=(Scope.RECORDS_EXPORT,), response=ExportOut)
async def get_export(request: ApiRequest, export_id: UUID) -> ExportOut:
    """Return how far one of the owner's exports is."""
    return await in_thread(lambda: ExportOut.of(_own_export(request.caller, export_id)))()


@exports.get("/exports/{uuid:export_id}/file", scopes=(Scope.RECORDS_EXPORT,), response={200: None})
async def get_export_file(request: ApiRequest, export_id: UUID) -> HttpResponseBase:
    """Send the file of one of the owner's exports."""
    export = await in_thread(_own_export)(request.caller, export_id)
    if export.state != Export.State.READY or not export.path.is_file():
        raise Problem(409, "export_not_ready", _("The file of this export is not there yet, or no longer."))
    headers = {"Content-Disposition": f'attachment; filename="{export.file_name}"', "Cache-Control": "no-store"}
    content_type = CONTENT_TYPES[Export.Format(export.format)]
    return StreamingHttpResponse(iterate_in_thread(chunks(export)), content_type=content_type, headers=headers)


def _own_export(caller: Caller, export_id: UUID) -> Export:
    row = Export.objects.filter(pk=export_id, asked_by=caller.user_id).exclude(what=Export.What.RECORD).first()
    if row is None:
        raise problems.not_found()
    return row
