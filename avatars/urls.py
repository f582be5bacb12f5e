from django.urls import path

from avatars import views

app_name = "avatars"
urlpatterns = [
    path("", views.gallery, name="gallery"),
    path("help/", views.help_page, name="help"),
    path("avatars/<int:avatar_id>/preview/", views.preview, name="preview"),
]
