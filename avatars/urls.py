from django.urls import path

from avatars import views
from avatars.videos import views as video_views

app_name = "avatars"
urlpatterns = [
    path("", views.gallery, name="gallery"),
    path("help/", views.help_page, name="help"),
    path("avatars/<int:avatar_id>/preview/", views.preview, name="preview"),
    path("voices/<int:voice_id>/sample/", views.sample, name="sample"),
    path("videos/<uuid:video_id>/", video_views.video, name="video"),
    path("videos/<uuid:video_id>/fetch", video_views.fetch, name="fetch_video"),
    path("videos/<uuid:video_id>/file", video_views.file, name="video_file"),
]
