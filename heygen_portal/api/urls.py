from django.urls import path

from heygen_portal.api import assembly, reference

app_name = "api"
urlpatterns = [
    path("openapi.json", reference.schema, name="openapi"),
    path("docs", reference.page, name="reference"),
    *assembly.urlpatterns(),
]
