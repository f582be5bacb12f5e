from django.urls import path, re_path

from heygen_portal.branding import views

urlpatterns = [
    path("brand/colours.css", views.stylesheet, name="brand_stylesheet"),
    re_path(r"^brand/(?P<sha256>[0-9a-f]{64})\.png$", views.picture, name="brand_picture"),
    path("brand/app.webmanifest", views.manifest, name="brand_manifest"),
    path("about/", views.about, name="about"),
]
