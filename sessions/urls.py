from django.urls import path

from sessions import checkup, conversations, personal_data_pages, views, webhooks

app_name = "sessions"
urlpatterns = [
    path("personas/<slug:slug>/", views.room, name="room"),
    path("personas/<slug:slug>/trial/", views.trial, name="trial"),
    path("sessions/<uuid:session_id>/leave", views.leave, name="leave"),
    path("webhooks/livekit/", webhooks.from_livekit, name="livekit_webhook"),
    path("check/", checkup.check, name="check"),
    path("check/room", checkup.room, name="check_room"),
    path("data/", personal_data_pages.overview, name="personal_data"),
    path("data/<str:extension>", personal_data_pages.download, name="personal_data_download"),
    path("conversations/", conversations.conversations, name="conversations"),
    path("conversations/erase/", conversations.erase, name="erase"),
    path("conversations/<uuid:session_id>/", conversations.conversation, name="conversation"),
    path("conversations/<uuid:session_id>/transcript.txt", conversations.transcript, name="transcript"),
]
