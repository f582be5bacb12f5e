"""Base classes of what operations receive and return."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from ninja import Field, Schema
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict, StringConstraints
from pydantic.types import Strict

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class Input(Schema):
    """A body. Unknown members and values of another type are refused: a typing error must not be ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)


# Primary keys. The second is for tables that may get more than two billion rows.
Key = Annotated[int, Field(ge=1, le=2**31 - 1)]
LongKey = Annotated[int, Field(ge=1, le=2**63 - 1)]
# JSON has no UUIDs, so that strict types would refuse their text.
JsonUUID = Annotated[UUID, Strict(False)]
# Text that every database can store.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


class Person(Schema):
    """A user of the portal."""

    id: int
    username: str


def _require_date_time(given: object) -> object:
    """Refuse numbers, which Pydantic takes for seconds, and times without a zone."""
    if isinstance(given, datetime) or (isinstance(given, str) and _RFC_3339.fullmatch(given)):
        return given
    raise ValueError("a date and time as in RFC 3339, with a time zone")


FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def _in_utc(moment: datetime) -> datetime:
    """Return a time in UTC. One that UTC has no year for is the first or last that there is."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return FIRST if moment.year == FIRST.year else LAST


Moment = Annotated[AwareDatetime, BeforeValidator(_require_date_time), AfterValidator(_in_utc)]
