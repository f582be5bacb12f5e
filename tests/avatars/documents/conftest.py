from __future__ import annotations

import pytest

from avatars.models import Library
from tests.support.databases import BOTH


@pytest.fixture(params=BOTH)
def library(request: pytest.FixtureRequest, transactional_db: None) -> Library:
    """A library on each database."""
    if request.param == "postgres":
        request.getfixturevalue("postgres")
    return Library.objects.create(name="Account help", language="en")
