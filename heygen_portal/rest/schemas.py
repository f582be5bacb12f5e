"""Base classes of what operations receive and return."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, StringConstraints
from pydantic.types import Strict


class Input(Schema):
    """A body. Unknown members and values of another type are refused: a typing error must not be ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)


# JSON has no UUIDs, so that strict types would refuse their text.
JsonUUID = Annotated[UUID, Strict(False)]
# Text that every database can store.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


class Person(Schema):
    """A user of the portal."""

    id: int
    username: str
