"""Pages while the database does not answer."""

from __future__ import annotations

import pytest
from django.contrib.auth.decorators import login_not_required
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import include, path

from heygen_portal import urls
from heygen_portal.runtime.refusals import OUTAGE_RETRY_S


@login_not_required
def without_database(request: HttpRequest) -> HttpResponse:
    raise OperationalError("the database did not answer within 5 s")


@login_not_required
def with_a_fault(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


urlpatterns = [path("away/", without_database), path("fault/", with_a_fault), path("", include("heygen_portal.urls"))]
handler500 = urls.handler500


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "The portal cannot reach its database"), ("es", "El portal no puede acceder a su base de datos")],
)
@override_settings(ROOT_URLCONF="tests.runtime.test_outage")
def test_a_page_says_that_the_database_is_away(language: str, words: str) -> None:
    client = Client(raise_request_exception=False, headers={"accept-language": language})
    answer = client.get("/away/")
    assert answer.status_code == 503
    assert answer["Retry-After"] == str(OUTAGE_RETRY_S)
    assert words in answer.content.decode()
    assert client.get("/fault/").status_code == 500
